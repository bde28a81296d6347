"""The report in a terminal of 80 columns: the answer in three sentences, a table by workload, and the notes to it."""

from __future__ import annotations

from collections.abc import Sequence

from crossframe.harness.analysis import metrics
from crossframe.harness.analysis.labels import ABSENT, COLUMNS, format_metric
from crossframe.harness.analysis.model import CellReport
from crossframe.harness.analysis.operators import operator_lines
from crossframe.harness.analysis.ranking import group_by_family
from crossframe.harness.console import TableLayout, terminal_table, wrap_lines
from crossframe.harness.report import formats
from crossframe.harness.report.answer import SPEED, label_families, write_answer
from crossframe.harness.report.framework_profiles import describe_modes
from crossframe.harness.report.model import Report
from crossframe.harness.report.titles import title_report
from crossframe.harness.worker.states import State

HEADINGS = ["framework", "tier", "training samples/s", "held-out quality", "peak MB"]
UNVERIFIED = "unverified"
STYLES = {UNVERIFIED: "yellow", **{state.value: "red" for state in State if state != State.OK}}


def as_summary(report: Report) -> str:
    """Return the answer, the table and the notes, as wide as the terminal."""
    titled = title_report(report)
    layout = TableLayout(right=(1, 2, 4), wrap=(0, 3), styles=STYLES)
    answer = wrap_lines(write_answer(titled.cells, titled.comparisons))
    if not titled.cells:
        return answer
    return f"{answer}\n{terminal_table(HEADINGS, list_rows(titled.cells), layout, list_notes(titled))}"


def list_rows(cells: Sequence[CellReport]) -> list[list[str]]:
    """Return a heading for each workload, and below it its cells: the fastest first, those without a speed last."""
    families = group_by_family(cells)
    labels = label_families(families)
    rows = []
    for family, members in families.items():
        rows.append([labels[family]])
        rows += [list_columns(cell) for cell in sorted(members, key=lambda cell: -(cell.metrics[SPEED].value or 0.0))]
    return rows


def list_columns(cell: CellReport) -> list[str]:
    """Return the columns of a cell. The state of one that did not succeed stands in place of its speed."""
    is_unverified = cell.parity is not None and cell.parity.state != State.OK
    tier = cell.metrics[SPEED].tier
    if cell.state != State.OK:
        return [cell.cell.variant, ABSENT, str(cell.state), ABSENT, ABSENT]
    speed, memory = (format_metric(cell.metrics[name], *COLUMNS[name][1:]) for name in (SPEED, "host_peak_bytes"))
    name = metrics.find_quality_metric(cell)
    value = cell.metrics[name].value if name else None
    quality = ABSENT if value is None else f"{name} {value:.4f}"
    return [
        cell.cell.variant,
        UNVERIFIED if is_unverified else str(tier or ABSENT),
        speed,
        quality,
        memory.partition(" ")[0],
    ]


def list_notes(report: Report) -> list[str]:
    """Return how to read the table, the problems with their reasons, and where the rest stands."""
    cells = report.cells
    return [
        formats.describe_settings(report),
        "tier: cells of one tier are not separated by more than the noise",
        *map(describe_modes, report.profiles),
        *formats.describe_evidence(cells),
        report.selftest or "this machine's resolution is unknown; run `crossframe selftest`",
        *formats.list_withheld(cells),
        *formats.list_problems(cells),
        *(f"warning: {warning}" for warning in report.warnings),
        *operator_lines(cells),
        "all columns and notes: --wide",
    ]
