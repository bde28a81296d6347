"""`crossframe report`: the records of a run as a table, JSON, CSV or Markdown. From the records alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from crossframe.backends import discover
from crossframe.harness.analysis import fairness, metrics, ranking, warnings
from crossframe.harness.records import store
from crossframe.harness.report import framework_profiles
from crossframe.tasks.describe import sentence
from crossframe.tasks.spec import from_json

Cell = dict[str, Any]


def document(run: Path) -> dict[str, Any]:
    """The report as one object, by the schema `report.json`."""
    return of_records(run, *store.read(run))


def of_records(run: Path, found: list[dict[str, Any]], damaged_lines: list[str]) -> dict[str, Any]:
    """The same where the records, and what is wrong with their file, are read already."""
    told = store.read_run(run)
    uncompiled = {
        name: facts["uncompiled_mode"] for name, facts in told["backends"].items() if facts.get("uncompiled_mode")
    }
    options = told["options"]
    cells = metrics.cells(found, uncompiled)
    portability, damaged = store.read_portability(run)
    titles = framework_profiles.titles(told["backends"], (cell["backend"] for cell in cells))
    return {
        "schema": store.SCHEMA_VERSION,
        "run": {
            "name": told["name"],
            "created": told["created"],
            "preset": options["preset"],
            "data": options["data"],
            "repeats": max((record["repeat"] for record in found), default=options["repeats"]),
            "threads": len(options["cpus"]),
        },
        "host": told["host"],
        "selftest": told.get("selftest"),
        "tasks": {
            name: {**facts, **({"about": sentence(from_json(told["specs"][name]))} if "specs" in told else {})}
            for name, facts in told["tasks"].items()
        },
        "cells": cells,
        "comparisons": ranking.rank(cells, found),
        "receipts": fairness.receipts(found),
        "cards": framework_profiles.cards(cells, portability or [], titles, discover()),
        "warnings": damaged_lines + damaged + warnings.warnings(found, told["host"]),
        **({} if portability is None else {"portability": portability}),
    }
