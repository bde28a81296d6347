"""The formats of a report: a table for a terminal, JSON, CSV, Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from crossframe.harness.analysis import metrics
from crossframe.harness.analysis.labels import ABSENT, COLUMNS, cell_labels, format_metric
from crossframe.harness.analysis.model import CellReport
from crossframe.harness.analysis.operators import operator_lines, operator_table
from crossframe.harness.analysis.ranking import describe_deviation
from crossframe.harness.console import TableLayout, csv_text, escape_markdown, fit_lines, markdown_table, terminal_table
from crossframe.harness.parity.effects import describe_effect
from crossframe.harness.records import codec
from crossframe.harness.records.model import CELL_KEYS
from crossframe.harness.report.framework_profiles import describe_modes, markdown_profiles
from crossframe.harness.report.model import FASTEST_MODES, Report
from crossframe.harness.report.titles import title_report
from crossframe.harness.worker.states import State

MARKDOWN_BYTES = 64_000  # the longest comment on a pull request
STATE_STYLES = {state.value: "green" if state == State.OK else "red" for state in State}
# Of the table. The tier is that of the next column, samples per second.
FIRST_HEADINGS = ["task", "framework", "mode", "state", "parity", "held-out", "tier"]
HEADINGS = [*FIRST_HEADINGS, *(heading for heading, *_ in COLUMNS.values())]


def format_quality(cell: CellReport) -> str:
    """Return the metric of the task's quality with its name, `accuracy 0.9750 ±1%`."""
    name = metrics.find_quality_metric(cell)
    return ABSENT if name is None else f"{name} {format_metric(cell.metrics[name], 1, 4)}"


def table_rows(cells: Sequence[CellReport]) -> list[list[str]]:
    """Return the body of the table, one row per cell, under `HEADINGS`."""
    rows = []
    for cell, label in zip(cells, cell_labels(cells)):
        columns = [format_metric(cell.metrics[name], *COLUMNS[name][1:]) for name in COLUMNS]
        export = str(cell.onnx.state) if cell.onnx else ABSENT
        columns[-1] = f"{export} {columns[-1]}" if export == State.OK else export
        parity = str(cell.parity.state) if cell.parity else ABSENT
        tier = str(cell.metrics["train_samples_per_s"].tier or ABSENT)
        rows.append([*label, str(cell.state), parity, format_quality(cell), tier, *columns])
    return rows


def list_problems(cells: Sequence[CellReport]) -> list[str]:
    """Return a line for everything that did not succeed, with its reason."""
    lines = []
    for cell, label in zip(cells, cell_labels(cells)):
        name = " ".join(label)
        if cell.parity and cell.parity.state != State.OK:
            hint = f" ({cell.parity.hint})" if cell.parity.hint else ""
            lines.append(f"{name}: parity {cell.parity.state}, not ranked: {cell.parity.reason}{hint}")
        if cell.deviation:
            lines.append(f"{name}: not ranked: {describe_deviation(cell)}")
        if cell.state != State.OK:
            lines.append(f"{name}: {cell.state}: {cell.reason}")
        elif cell.onnx and cell.onnx.state != State.OK:
            lines.append(f"{name}: ONNX {cell.onnx.state}: {cell.onnx.reason}")
    return lines


def list_notes(report: Report) -> list[str]:
    """Return the lines below the table: how to read it, baselines, problems, damaged files."""
    cells = report.cells
    lines = [describe_settings(report), *map(describe_modes, report.profiles), *describe_evidence(cells)]
    lines.append(report.selftest or "this machine's resolution is unknown; run `crossframe selftest`")
    lines += list_withheld(cells)
    lines += [
        f"{task}: {name} {value:.4f} is the linear optimum (principal components), without training"
        for task, facts in report.tasks.items()
        for name, value in (facts.baseline or {}).items()
    ]
    lines += [
        f"memory of {' '.join(label)}: {cell.gpu_memory}"
        for cell, label in zip(cells, cell_labels(cells))
        if cell.gpu_memory
    ]
    lines += dict.fromkeys(
        describe_effect(cell.backend, cell.task, cell.parity.effect)
        for cell in cells
        if cell.parity and cell.parity.effect
    )
    return [*lines, *list_problems(cells), *(f"warning: {warning}" for warning in report.warnings)]


def list_withheld(cells: Sequence[CellReport]) -> list[str]:
    """Return why no cell is ranked, if the processes of the run are not comparable."""
    reasons = dict.fromkeys(cell.withheld for cell in cells)
    return [f"no ranking, because the processes had unequal resources: {reason}" for reason in reasons if reason]


def describe_settings(report: Report) -> str:
    """Return the settings of the cells, and the number of processes per value."""
    run = report.run
    settings = [
        f"{name.replace('_', ' ')} {', '.join(sorted({str(getattr(cell, name)) for cell in report.cells}))}"
        for name in ("device", "precision", "batch_size")
    ]
    plural = "es" if run.repeats != 1 else ""
    text = f"preset {run.preset}, {', '.join(settings)}, threads {run.threads}, "
    text += f"median of {run.repeats} process{plural} per cell"
    text += f"; {FASTEST_MODES}" if run.best_modes else ""
    return text + ("; ± is the farther end of the 95 % interval over them" if run.repeats > 1 else "")


def describe_evidence(cells: Sequence[CellReport]) -> list[str]:
    """Return the reasons why verified cells have no tier, and a line if other cells were not verified."""
    verified = [cell for cell in cells if cell.parity and cell.parity.state == State.OK]
    reasons = dict.fromkeys(cell.metrics["train_samples_per_s"].tier_reason for cell in verified)
    lines = [f"no tier: {reason}" for reason in reasons if reason and reason.startswith("not enough")]
    if any(cell.parity is None for cell in cells):
        lines.append("some cells were not verified (--no-parity), so they are not ranked")
    return lines


def as_table(report: Report) -> str:
    """Return a table for a terminal, with notes and the longest operators."""
    titled = title_report(report)
    layout = TableLayout(right=range(6, len(HEADINGS)), styles=STATE_STYLES, grouped=True)
    notes = [*list_notes(titled), *operator_lines(titled.cells)]
    return terminal_table(HEADINGS, table_rows(titled.cells), layout, notes)


def as_json(report: Report) -> str:
    """Return the report by the published schema `report.json`."""
    return codec.to_json(report, indent=1) + "\n"


def as_csv(report: Report) -> str:
    """Return one line per cell and metric."""
    rows: list[list[object]] = [[*CELL_KEYS, "state", "metric", "value", "low", "high", "n", "reason", "tier"]]
    for cell in report.cells:
        keys = [getattr(cell, key) for key in CELL_KEYS]
        for name, metric in cell.metrics.items():
            values = [metric.value, metric.low, metric.high, metric.n, metric.reason or "", metric.tier]
            rows.append([*keys, str(cell.state), name, *values])
    return csv_text(rows)


def as_markdown(report: Report) -> str:
    """Return a table for a pull request of at most 64 kB, of which notes take up to a half and profiles a quarter."""
    report = title_report(report)
    notes = [f"- {escape_markdown(line)}" for line in list_notes(report)]
    end = fit_lines(notes, MARKDOWN_BYTES // 2, "- and {} more notes")
    end += fit_lines(markdown_profiles(report.profiles), MARKDOWN_BYTES // 4, "\n{} more lines of the profiles")
    title, *table = [f"## {escape_markdown(report.run.name)}", "", *markdown_table(HEADINGS, table_rows(report.cells))]
    free = MARKDOWN_BYTES - count_bytes([title, *end])
    text = [title, *fit_lines(table, free, "\n{} more cells: crossframe report RUN --format html"), "", *end, ""]
    operators = operator_table(report.cells)
    if operators:
        heading = ["## Time of a step by operator, from the profiler of each framework", ""]
        lines = markdown_table(operators[0], operators[1:])
        free = MARKDOWN_BYTES - count_bytes([*text, *heading])
        text += [*heading, *fit_lines(lines, free, "\n{} more rows: crossframe report RUN --format json"), ""]
    return "\n".join(text)


def count_bytes(lines: Sequence[str]) -> int:
    return len("\n".join(lines).encode())


FORMATS: dict[str, Callable[[Report], str]] = {
    "table": as_table,
    "json": as_json,
    "csv": as_csv,
    "md": as_markdown,
}
