"""`crossframe history`: the figures of the runs of a folder over time, by host, each change of environment marked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from crossframe.harness.analysis import metrics, ranking
from crossframe.harness.analysis.labels import COLUMNS, shown
from crossframe.harness.decision.compare import MACHINE, changes, setting
from crossframe.harness.records import store

FOLLOWED = ("train_samples_per_s", "infer_latency_s", "host_peak_bytes")


def document(folder: Path) -> dict[str, Any]:
    """{hosts: [{host, runs: [{name, created, preset, changed, cells}]}], warnings}, oldest run first. NoRun if none."""
    found, warnings = [], []
    for path in sorted(folder.glob("*/run.json")):
        try:
            told = store.read_run(path.parent)
            own, damaged = store.read(path.parent)
        except store.NoRun as error:
            warnings.append(str(error))
            continue
        warnings += damaged
        found.append((told, own))
    if not found:
        raise store.NoRun(f"{folder} holds no run; `crossframe run` makes one under results/")
    hosts: dict[str, list[dict[str, Any]]] = {}
    before: dict[str, dict[str, str]] = {}
    for told, own in sorted(found, key=lambda one: one[0]["created"]):
        host = json.dumps({name: told["host"].get(name) for name in MACHINE}, sort_keys=True)
        now = setting(told, own)
        changed = changes(before.get(host, now), now)
        before[host] = now
        cells = [
            {
                **{key: cell[key] for key in store.CELL_KEYS},
                "state": cell["state"],
                "parity": (cell["parity"] or {}).get("state"),
                "metrics": {name: cell["metrics"][name] for name in FOLLOWED},
            }
            for cell in metrics.cells(own, {})
        ]
        run = {"name": told["name"], "created": told["created"], "preset": told["options"]["preset"]}
        hosts.setdefault(host, []).append({**run, "changed": changed, "cells": cells})
    listed = [{"host": json.loads(host), "runs": runs} for host, runs in hosts.items()]
    return {"schema": store.SCHEMA_VERSION, "hosts": listed, "warnings": warnings}


def as_text(told: dict[str, Any]) -> str:
    """A block a host and cell, a line a run; a line with * for what changed before that run."""
    lines = []
    for host in told["hosts"]:
        lines.append("host: " + ", ".join(f"{name} {value}" for name, value in host["host"].items() if value))
        for run in host["runs"]:
            lines.append(f"  {run['created']}  {run['name']}  preset {run['preset']}")
            lines += [f"    * {one['what']}: {one['a']} -> {one['b']}" for one in run["changed"]]
        keys = dict.fromkeys((ranking.key_of(cell), run["preset"]) for run in host["runs"] for cell in run["cells"])
        for key, preset in keys:
            lines.append(f"  {' '.join(map(str, key))}, {preset}")
            for run in host["runs"]:
                for cell in run["cells"]:
                    if (ranking.key_of(cell), run["preset"]) == (key, preset):
                        mark = "*" if run["changed"] else " "
                        lines.append(f"  {mark} {run['created']}  {line_of(cell)}")
    return "\n".join(lines) + "\n"


def line_of(cell: dict[str, Any]) -> str:
    if cell["state"] != "ok":
        return str(cell["state"])
    said = [f"{COLUMNS[name][0]} {shown(cell['metrics'][name], *COLUMNS[name][1:])}" for name in FOLLOWED]
    return ", ".join(said) + ("" if cell["parity"] == "ok" else ", not proven equal")
