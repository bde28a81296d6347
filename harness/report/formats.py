"""TODO: say what this module is."""

from __future__ import annotations

import csv
import io
import os
import sys
from collections.abc import Callable
from typing import Any

from crossframe.harness.analysis import metrics, operators
from crossframe.harness.analysis.labels import ABSENT, COLUMNS, names_of, shown
from crossframe.harness.console import escaped, fitting
from crossframe.harness.parity.effects import described
from crossframe.harness.records import store
from crossframe.harness.report.document import Cell
from crossframe.harness.report.framework_profiles import of_cards

MARKDOWN_BYTES = 64_000


def quality_shown(cell: Cell) -> str:
    name = metrics.quality_name(cell)
    if name is None:
        return ABSENT
    return f"{name} {shown(cell['metrics'][name], 1, 4)}"


def rows(cells: list[Cell]) -> list[list[str]]:
    """The table's body, a row a cell."""
    body = []
    for cell, name in zip(cells, names_of(cells)):
        exported = cell["onnx"]["state"] if cell["onnx"] else ABSENT
        size = shown(cell["metrics"]["onnx_bytes"], 1e3, 0)
        body.append(
            [
                *name,
                cell["state"],
                cell["parity"]["state"] if cell["parity"] else ABSENT,
                quality_shown(cell),
                str(cell["metrics"]["train_samples_per_s"]["tier"] or ABSENT),
                *(shown(cell["metrics"][name], *COLUMNS[name][1:]) for name in COLUMNS if name != "onnx_bytes"),
                f"{exported} {size}" if exported == "ok" else exported,
            ]
        )
    return body


def headings() -> list[str]:
    first = ["task", "backend", "mode", "state", "parity", "held-out", "tier"]  # the tier of what comes next: samples/s
    return [*first, *(heading for heading, *_ in COLUMNS.values())]


def problems(cells: list[Cell]) -> list[str]:
    """A line for everything that did not work, with its reason."""
    lines = []
    for cell, name in zip(cells, names_of(cells)):
        where = " ".join(name)
        if cell["parity"] and cell["parity"]["state"] != "ok":
            hint = f" ({cell['parity']['hint']})" if cell["parity"]["hint"] else ""
            lines.append(f"{where}: parity {cell['parity']['state']}, not ranked: {cell['parity']['reason']}{hint}")
        if cell["state"] != "ok":
            lines.append(f"{where}: {cell['state']}: {cell['reason']}")
        elif cell["onnx"]["state"] != "ok":
            lines.append(f"{where}: ONNX {cell['onnx']['state']}: {cell['onnx']['reason']}")
    return lines


def notes(report: dict[str, Any]) -> list[str]:
    """What stands under the table: how to read it, baselines, problems, damaged lines."""
    run, varied = report["run"], ("device", "precision", "batch_size")
    settings = [f"{key} {', '.join(sorted({str(cell[key]) for cell in report['cells']}))}" for key in varied]
    lines = [
        f"preset {run['preset']}, {', '.join(settings)}, threads {run['threads']}, "
        f"median of {run['repeats']} process{'es' * (run['repeats'] != 1)} a cell"
    ]
    if run["repeats"] > 1:
        lines[0] += "; ± is the farther end of the 95 % interval over them"
    proven = [cell for cell in report["cells"] if (cell["parity"] or {}).get("state") == "ok"]
    reasons = dict.fromkeys(cell["metrics"]["train_samples_per_s"].get("tier_reason") for cell in proven)
    lines += [f"no tier: {reason}" for reason in reasons if reason and reason.startswith("not enough")]
    if any(cell["parity"] is None for cell in report["cells"]):
        lines.append("parity was not checked for every cell (--no-parity): what was not proven equal is not ranked")
    lines.append(
        report["selftest"] or "how small a difference this machine can show was not tested: crossframe selftest"
    )
    for withheld in dict.fromkeys(cell["withheld"] for cell in report["cells"]):
        lines += [f"no ranking, since budgets were not equal: {withheld}"] if withheld else []
    for task, facts in report["tasks"].items():
        for name, value in (facts["baseline"] or {}).items():
            lines.append(f"{task}: {name} {value:.4f} is the linear optimum (principal components), untrained")
    lines += [
        f"memory of {' '.join(name)}: {cell['gpu_memory']}"
        for cell, name in zip(report["cells"], names_of(report["cells"]))
        if cell["gpu_memory"]
    ]
    lines += dict.fromkeys(
        described(cell["backend"], cell["task"], cell["parity"]["effect"])
        for cell in report["cells"]
        if cell["parity"] and cell["parity"].get("effect")
    )
    return lines + problems(report["cells"]) + [f"warning: {warning}" for warning in report["warnings"]]


def as_table(report: dict[str, Any]) -> str:
    """A table for a terminal: coloured where there is one, as wide as it needs where there is none."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=None, header_style="bold", pad_edge=False)
    for place, heading in enumerate(headings()):
        table.add_column(heading, justify="left" if place < 6 else "right", no_wrap=place < 5)
    last = None
    for row in rows(report["cells"]):
        if last not in (None, row[0]):
            table.add_section()
        state = Text(row[3], style="green" if row[3] == "ok" else "red")
        table.add_row("" if row[0] == last else row[0], row[1], row[2], state, *row[4:])
        last = row[0]
    width = None if sys.stdout.isatty() else 200
    console = Console(
        file=io.StringIO(), width=width, force_terminal=sys.stdout.isatty() and "NO_COLOR" not in os.environ
    )
    console.print(table)
    for line in [*notes(report), *operators.lines(report["cells"])]:
        console.print(Text(line))
    return console.file.getvalue()  # type: ignore[attr-defined]


def as_json(report: dict[str, Any]) -> str:
    import json

    store.validator("report")(report)
    return json.dumps(report, indent=1) + "\n"


def as_csv(report: dict[str, Any]) -> str:
    """One line a cell and figure: long form, the raw material of a spreadsheet."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*store.CELL_KEYS, "state", "metric", "value", "low", "high", "n", "reason", "tier"])
    for cell in report["cells"]:
        for name, metric in cell["metrics"].items():
            where = [cell[key] for key in store.CELL_KEYS]
            figure = [metric[key] for key in ("value", "low", "high", "n")]
            writer.writerow([*where, cell["state"], name, *figure, metric.get("reason", ""), metric.get("tier")])
    return out.getvalue()


def as_markdown(report: dict[str, Any]) -> str:
    """A table for a pull request, of at most 64 kB: half for the notes, a quarter for the cards, then the table."""
    said = fitting([f"- {escaped(line)}" for line in notes(report)], MARKDOWN_BYTES // 2, "- and {} more notes")
    said += fitting(of_cards(report["cards"]), MARKDOWN_BYTES // 4, "\n{} more lines of the cards")
    head = [f"## {report['run']['name']}", "", "| " + " | ".join(headings()) + " |", "|" + " --- |" * len(headings())]
    body = ["| " + " | ".join(escaped(text) for text in row) + " |" for row in rows(report["cells"])]
    left = MARKDOWN_BYTES - len("\n".join([*head, *said]).encode())
    table = fitting(body, left, "\n{} more cells: crossframe report RUN --format html")
    text = "\n".join([*head, *table, "", *said, ""])
    found = ["| " + " | ".join(map(escaped, row)) + " |" for row in operators.table(report["cells"])]
    if not found:
        return text
    head = ["## Where a step's time goes, by each framework's own profiler", "", found[0], "|" + " --- |" * 7]
    left = MARKDOWN_BYTES - len("\n".join([text, *head]).encode())
    return "\n".join(
        [text, *head, *fitting(found[1:], left, "\n{} more rows: crossframe report RUN --format json"), ""]
    )


FORMATS: dict[str, Callable[[dict[str, Any]], str]] = {
    "table": as_table,
    "json": as_json,
    "csv": as_csv,
    "md": as_markdown,
}
