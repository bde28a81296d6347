"""The report as one HTML page that opens without a network: the answer, the evidence, and the weights to move."""

from __future__ import annotations

import base64
import csv
import gzip
import io
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from crossframe.backends import discover
from crossframe.harness.analysis import fairness, labels, metrics, ranking
from crossframe.harness.parity.effects import describe_effect
from crossframe.harness.records import store
from crossframe.harness.report import document, formats, framework_profiles
from crossframe.harness.report.page import answer, bottleneck_charts, charts, plotly_panels
from crossframe.harness.report.page.ratios import Ratios, text

HERE = Path(__file__).parent
LABELS = {
    "state": "did not end well",
    "parity": "not proven equal",
    "dialect": "dialect",
    "onnx": "ONNX export failed",
}
MOST_WARNINGS = 12
# What a first reader has to be told; by the first words of the page that need it.
WORDS = {
    "cell": "one framework in one mode, on one task with one batch size, precision and device: a row of the table.",
    "mode": "how a framework runs the network, by the framework's own word: operation by operation, or compiled "
    "beforehand.",
    "precision": "the format of the numbers that are multiplied; weights are kept in 32 bits where that has fewer.",
    "interval": "the two figures in brackets. Each cell ran in several processes, whose figures differ by luck. With "
    "95 % confidence the typical figure lies between these two; where there is one process, there is none.",
    "noise": "how much figures of the same thing differ by luck alone. A difference beyond it is one that luck does "
    "not explain; with one figure on one workload, luck passes for a difference in one of twenty runs at most.",
    "tier": "a place in the ranking that several may share. Only a difference that luck does not explain begins a new "
    "tier: whoever is in tier 1 may be the best. Too few processes make no tier at all.",
    "baseline": "the one that all the others are held against: 1.5x is one and a half times the baseline's figure.",
    "parity": "the proof, before anything is measured, that a framework computes the same as slow, exact arithmetic "
    "does from the same weights and data. What fails it is shown and not ranked.",
    "dialect": "a detail that a framework computes otherwise by design, as where Adam adds its epsilon. It is "
    "declared, and parity is proven with it.",
    "held-out quality": "how well the trained network does on data that it never saw: accuracy, or the mean squared "
    "error (mse), of which less is better.",
    "ONNX": "the file format in which a trained network leaves its framework, to be run elsewhere.",
}


def packed(content: str) -> str:
    """Text as a base64 gzip file, for a link of the page."""
    return base64.b64encode(gzip.compress(content.encode(), 6, mtime=0)).decode()


def script_json(value: Any) -> Markup:
    """JSON that no string in it can end the script element of."""
    return Markup(json.dumps(value, separators=(",", ":")).replace("<", "\\u003c"))


@cache
def asset(name: str) -> Markup:
    return Markup((HERE / name).read_text())


def processes_csv(found: list[dict[str, Any]]) -> str:
    """One line a process, one column a figure, to seven digits; the samples within processes stay in the records."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*store.CELL_KEYS, "repeat", "state", *metrics.METRICS])
    for record in found:
        ok = record["state"] == "ok"
        values = [figure.read(record) if ok else None for figure in metrics.METRICS.values()]
        shown = ["" if value is None else f"{value:.7g}" for value in values]
        writer.writerow([*record["cell"].values(), record["repeat"], record["state"], *shown])
    return out.getvalue()


def marks(cell: dict[str, Any]) -> list[str]:
    """What a reader must know of a cell beside its figures; keys of `LABELS`."""
    found = [] if cell["state"] == "ok" else ["state"]
    found += [] if (cell["parity"] or {}).get("state") == "ok" else ["parity"]
    found += ["dialect"] if (cell["parity"] or {}).get("effect") else []
    return found + (["onnx"] if cell["onnx"] and cell["onnx"]["state"] != "ok" else [])


def row(cell: dict[str, Any], name: str, ratios: Ratios) -> dict[str, Any]:
    """One cell of the run as a row of the table."""
    quality = metrics.find_quality_metric(cell)
    cells = []
    for metric in [quality, *labels.COLUMNS]:
        found = (
            cell["metrics"][metric] if metric else {"value": None, "low": None, "high": None, "reason": "not judged"}
        )
        divisor = labels.COLUMNS[metric][1] if metric in labels.COLUMNS else 1
        cells.append(
            {
                "metric": metric,
                "value": found["value"],
                "text": text(found, divisor),
                "reason": found.get("reason") or found.get("tier_reason") or "",
                "tier": found.get("tier"),
                "ratio": ratios.shown(ranking.family_of(cell), metric, ranking.candidate(cell)),
            }
        )
    return {
        "cell": cell,
        "workload": name,
        "candidate": ranking.candidate(cell),
        "marks": marks(cell),
        "figures": cells,
    }


def versions(cells: list[dict[str, Any]]) -> list[tuple[str, str, bool]]:
    """(backend, its versions, whether its cells differ in them)."""
    found: dict[str, dict[str, None]] = {}
    for cell in cells:
        if cell["versions"]:
            said = ", ".join(f"{name} {version}" for name, version in sorted(cell["versions"].items()))
            found.setdefault(cell["backend"], {})[said] = None
    return [(backend, " or ".join(kinds), len(kinds) > 1) for backend, kinds in found.items()]


def notices(told: dict[str, Any]) -> list[str]:
    """What stands above every figure: why there is no ranking, and what made the machine or the records doubtful."""
    cells = told["cells"]
    found = ["There is no record yet: the run was stopped before its first job ended."] if not cells else []
    if any(cell["parity"] is None and cell["state"] == "ok" for cell in cells):
        found.append("Parity was not checked for every cell: what was not proven equal is not ranked.")
    withheld = dict.fromkeys(cell["withheld"] for cell in cells if cell["withheld"])
    found += [f"Nothing is ranked, since budgets were not equal: {why}" for why in withheld]
    mixed = [backend for backend, _, differ in versions(cells) if differ]
    found += [f"Cells of {backend} were measured with different versions." for backend in mixed]
    if told.get("selftest"):
        found.append(f"Self-test of this machine: {answer.flat(told['selftest'])}")
    more = len(told["warnings"]) - MOST_WARNINGS
    return found + told["warnings"][:MOST_WARNINGS] + ([f"and {more} more, in report.json below"] if more > 0 else [])


def titled(told: dict[str, Any], found: list[dict[str, Any]]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The report and the records with titles of backends for their names; what the reader downloads keeps the names."""
    titles = {card["backend"]: card["title"] for card in told["cards"]}
    candidates = {ranking.candidate(one): f"{titles[one['backend']]} {one['mode']}" for one in told["cells"]}

    def by_title(one: dict[str, Any], name: str = "backend") -> dict[str, Any]:
        return {**one, name: titles.get(one.get(name), one.get(name))}

    receipts = [by_title(row) for row in told["receipts"]]
    why = "; ".join(fairness.differences(receipts)) or None
    named = {
        **told,
        "cells": [by_title({**cell, "withheld": cell["withheld"] and why}) for cell in told["cells"]],
        "receipts": receipts,
        "comparisons": [{**one, "a": candidates[one["a"]], "b": candidates[one["b"]]} for one in told["comparisons"]],
    }
    if "portability" in told:
        named["portability"] = [by_title(one, "exporter") for one in told["portability"]]
    return named, [{**record, "cell": by_title(record["cell"])} for record in found]


def linked(source: str) -> list[tuple[str, bool]]:
    """A source in parts, and which of them are addresses of the web: nothing else becomes a link."""
    parts = re.split(r"(https?://[^\s,;<>\"']+)", source)
    return [(part, place % 2 == 1) for place, part in enumerate(parts) if part]


def template() -> Any:
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("report.html")


def view(told: dict[str, Any], found: list[dict[str, Any]], facts: dict[str, Any]) -> dict[str, Any]:
    """Everything that the template shows."""
    downloads = {
        "report.json": packed(json.dumps(told)),
        "figures.csv": packed(formats.as_csv(told)),
        "processes.csv": packed(processes_csv(found)),
    }
    facts = {card["title"]: facts.get(card["backend"], {}) for card in told["cards"]}
    told, found = titled(told, found)
    names = plotly_panels.family_names(told["cells"])
    ratios = Ratios(told["comparisons"])
    weighed = answer.weighing(told["cells"], found, facts)
    effects = dict.fromkeys(
        describe_effect(cell["backend"], cell["task"], cell["parity"]["effect"])
        for cell in told["cells"]
        if (cell["parity"] or {}).get("effect")
    )
    return {
        "told": told,
        "sentences": answer.sentences(told, weighed, names),
        "notices": notices(told),
        "versions": versions(told["cells"]),
        "rows": [row(cell, names[ranking.family_of(cell)], ratios) for cell in told["cells"]],
        "columns": {name: (heading, metrics.METRICS[name].better) for name, (heading, *_) in labels.COLUMNS.items()},
        "labels": LABELS,
        "words": WORDS,
        "tasks": {name: facts["about"] for name, facts in told["tasks"].items() if "about" in facts},
        "ratios": ratios,
        "effects": list(effects),
        "problems": formats.problems(told["cells"]),
        "sections": [*charts.sections(told, found, names, ratios), *bottleneck_charts.sections(told, names)],
        "weighed": weighed,
        "flat": answer.flat,
        "cards": [(card, framework_profiles.shown(card)) for card in told["cards"]],
        "texts": framework_profiles.texts,
        "linked": linked,
        "downloads": downloads,
        "script_json": script_json,
        "asset": asset,
    }


def write(run: Path) -> Path:
    """`report.html` in the run's folder."""
    found, warnings = store.read(run)
    told = document.of_records(run, found, warnings)
    facts = {name: backend.facts.get("facts", {}) for name, backend in discover().items()}
    path = run / "report.html"
    path.write_text(template().render(view(told, found, facts)))
    return path
