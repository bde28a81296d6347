"""The matrix exporter x task x runtime for a terminal, a spreadsheet or a pull request."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

from crossframe.harness.analysis.labels import ABSENT
from crossframe.harness.console import escaped
from crossframe.harness.portability.verdict import STATES

Document = dict[str, Any]
COLOURS = {"pass": "green", "degraded": "yellow", "wrong": "bold red"}
FIGURES = ("bytes", "load_s", "compile_s", "first_run_s", "batch_1_p50_s", "batch_1_p95_s", "batch_64_p50_s")
NUMBERS = ("max_abs", "scaled", "max_ulp", "cosine", "own_errors")


def grid(document: Document) -> tuple[list[str], list[list[str]]]:
    """(headings, rows): a row for each file, a column for each runtime."""
    names = list(dict.fromkeys(cell["runtime"] for cell in document["cells"]))
    files: dict[tuple[str, ...], dict[str, str]] = {}
    for cell in document["cells"]:
        shown = cell["state"] if cell["state"] in ("pass", "degraded") else f"{cell['state']} ({cell['stage']})"
        files.setdefault((cell["task"], cell["exporter"], cell["variant"]), {})[cell["runtime"]] = shown
    body = [[*key, *(found.get(name, ABSENT) for name in names)] for key, found in files.items()]
    return ["task", "exporter", "variant", *names], body


def notes(document: Document) -> list[str]:
    """Counts, a line for every file and reason, the rungs of the ladder, and how figures were taken."""
    cells = document["cells"]
    counts = Counter(cell["state"] for cell in cells)
    lines = [f"{len(cells)} cells: " + ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])]
    for file in document["files"]:
        lines += [f"{file['task']} {file['exporter']}: {finding}" for finding in findings(file)]
    reasons: dict[tuple[str, ...], list[str]] = {}
    for cell in cells:
        if cell["reason"]:
            key = f"{cell['task']} {cell['exporter']} {cell['variant']}", f"{cell['state']}: {cell['reason']}"
            reasons.setdefault(key, []).append(cell["runtime"])
    lines += [f"{what} in {', '.join(where)}: {why}" for (what, why), where in reasons.items()]
    lines += [f"{c['task']} {c['exporter']} in {c['runtime']}: {blamed(c)}" for c in cells if c["blame"]]
    swallowed: dict[str, list[str]] = {}
    for cell in cells:
        if cell["checks"].get("inputs", {}).get("nan") == "swallowed":
            swallowed.setdefault(cell["runtime"], []).append(f"{cell['task']} {cell['exporter']}")
    lines += [f"a sample of NaN comes out as a number in {name}: {', '.join(of)}" for name, of in swallowed.items()]
    for rungs in document["ladder"]:
        spans = ", ".join(f"{name} {span(found)}" for name, found in rungs["runtimes"].items())
        lines.append(f"opsets of {rungs['task']} {rungs['exporter']}: writes {ranges(rungs['written'])}; {spans}")
    lines.append(f"seconds are of one thread on one processor, {document['at_a_time']} cells at a time")
    on_card = list(dict.fromkeys(cell["runtime"] for cell in cells if cell["facts"].get("device")))
    if on_card:
        lines.append(f"those of {', '.join(on_card)} are of {document['device']}, copies to and from it included")
    return lines


def findings(file: dict[str, Any]) -> list[str]:
    """What is to be said of a file apart from any runtime."""
    found = [f"compared with {file['oracle'] or 'nothing: no oracle runs it'}"] if "oracle" in file else []
    if file["problem"]:
        found.append(f"load: onnx.checker: {file['problem']}")
    for words in ("outside", "missing"):
        if (file["external"] or {}).get(words):
            found.append(f"load: weights {words}: {', '.join(file['external'][words])}")
    return found


def blamed(cell: dict[str, Any]) -> str:
    found = cell["blame"]
    return f"parts from the oracle at {found['node']}: {found['why']}; reproducer: {found['reproducer']}"


def span(found: dict[str, Any]) -> str:
    return "none" if found["lowest"] is None else f"{found['lowest']} to {found['highest']}"


def ranges(numbers: list[int]) -> str:
    """[7, 8, 9, 12] -> `7-9, 12`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs) or "none"


def as_table(document: Document) -> str:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    headings, body = grid(document)
    table = Table(header_style="bold", pad_edge=False)
    for heading in headings:
        table.add_column(heading, no_wrap=True)
    for row in body:
        table.add_row(*row[:3], *(Text(state, style=COLOURS.get(state, "red")) for state in row[3:]))
    out = io.StringIO()
    terminal = sys.stdout.isatty()
    width = None if terminal else 200
    console = Console(file=out, width=width, force_terminal=terminal and "NO_COLOR" not in os.environ)
    console.print(table)
    for line in notes(document):
        console.print(Text(line))
    return out.getvalue()


def as_json(document: Document) -> str:
    return json.dumps(document, indent=1) + "\n"


def as_csv(document: Document) -> str:
    """One line a cell."""
    keys = ("task", "exporter", "variant", "opset", "runtime", "state", "stage", "reason")
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*keys, *NUMBERS, *FIGURES, "host_peak_bytes"])
    for cell in document["cells"]:
        found, metrics = cell["checks"].get("numbers", {}), cell["metrics"]
        figures = [found.get(name) for name in NUMBERS] + [metrics.get(n) for n in (*FIGURES, "host_peak_bytes")]
        writer.writerow([*(cell[key] for key in keys), *figures])
    return out.getvalue()


def as_markdown(document: Document) -> str:
    headings, body = grid(document)
    lines = [f"## ONNX portability of {document['name']}", "", "| " + " | ".join(headings) + " |"]
    lines.append("|" + " --- |" * len(headings))
    lines += ["| " + " | ".join(escaped(text) for text in row) + " |" for row in body]
    return "\n".join([*lines, "", *(f"- {escaped(line)}" for line in notes(document)), ""])


FORMATS: dict[str, Callable[[Document], str]] = {
    "table": as_table,
    "json": as_json,
    "csv": as_csv,
    "md": as_markdown,
}
