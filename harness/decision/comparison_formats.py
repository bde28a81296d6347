"""A comparison of two runs as a table, JSON or Markdown, and as the lines of a gate."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from crossframe.harness.analysis.labels import (
    METRIC_NAMES,
    cell_labels,
    format_metric,
    format_significant,
    name_metric,
)
from crossframe.harness.analysis.model import Metric
from crossframe.harness.analysis.statistics import LEVEL
from crossframe.harness.console import TableLayout, escape_markdown, markdown_table, terminal_table, wrap_lines
from crossframe.harness.decision.comparison import (
    NOT_ENOUGH_EVIDENCE,
    SAME,
    MetricChange,
    RegressionKind,
    RunComparison,
)
from crossframe.harness.records.codec import to_json
from crossframe.harness.records.model import Cell
from crossframe.harness.worker.states import State

HEADINGS = ["metric", "became", "before", "after", "after / before"]
Labels = Mapping[Cell, str]


def describe_regressions(comparison: RunComparison, tolerance: float) -> list[str]:
    """Return a line for each cell with a metric that is worse by more than `tolerance`, or that lost something else.

    The gate looks at all metrics of all cells, so a worse metric also needs a small `p_worse`. If no cell could be
    compared, that is a regression too: a gate must not pass without evidence.
    """
    lines = [
        (change.cell, f"was {change.a}, is {change.b}: {change.reason}")
        for change in comparison.states
        if change.a == State.OK
    ]
    lines += [
        (regression.cell, regression.detail)
        for regression in comparison.regressions
        if regression.loss is None or regression.loss > tolerance
    ]
    for change in comparison.metrics:
        loss = max(change.ratio, 1 / change.ratio) - 1
        if change.worse and loss > tolerance and change.p_worse <= LEVEL:
            lines.append((change.cell, f"{name_metric(change.metric)} {change.change}, {_format_ratio(change)}"))
    texts = [f"{_name_cell(comparison.titles, cell)}: {text}" for cell, text in _join_by_cell(lines)]
    return texts if comparison.metrics else [*texts, "nothing could be compared"]


def list_undecided(comparison: RunComparison) -> tuple[list[str], int]:
    """Return the cells of which no metric could be decided, and the number of repeats that decides all of them."""
    by_cell: dict[Cell, set[str]] = {}
    for change in comparison.metrics:
        by_cell.setdefault(change.cell, set()).add(change.change)
    undecided = [
        _name_cell(comparison.titles, cell) for cell, changes in by_cell.items() if changes == {NOT_ENOUGH_EVIDENCE}
    ]
    tests = len(by_cell)  # of one metric
    return undecided, next(n for n in range(2, 64) if 2 * tests / math.comb(2 * n, n) <= LEVEL)


def as_table(comparison: RunComparison) -> str:
    """Return the comparison for a terminal: the answer, what changed by cell, and the notes."""
    labels, notes = _label_cells(comparison), _summarize(comparison)
    title = f"{comparison.a.name} of {comparison.a.created[:10]} -> {comparison.b.name} of {comparison.b.created[:10]}"
    head = wrap_lines([title, _answer(comparison)])
    rows: list[list[str]] = []
    group = None
    for change in _list_changes(comparison):
        if change.cell != group:
            rows.append([labels[change.cell]])
        group = change.cell
        rows.append(_format_row(change))
    if not rows:
        return head + wrap_lines(notes, indent="  ")
    return f"{head}\n{terminal_table(HEADINGS, rows, TableLayout(right=(2, 3, 4)), notes)}"


def as_json(comparison: RunComparison) -> str:
    """Return the comparison as JSON."""
    return to_json(comparison, indent=1) + "\n"


def as_markdown(comparison: RunComparison) -> str:
    """Return the comparison as Markdown."""
    labels = _label_cells(comparison)
    rows = [[labels[change.cell], *_format_row(change)] for change in _list_changes(comparison)]
    table = [*markdown_table(["cell", *HEADINGS], rows), ""] if rows else []
    notes = [f"- {escape_markdown(line)}" for line in _summarize(comparison)]
    heading = f"## {escape_markdown(comparison.a.name)} to {escape_markdown(comparison.b.name)}"
    answer = _answer(comparison)
    return "\n".join([heading, "", f"{answer[0].upper()}{answer[1:]}.", "", *table, *notes, ""])


def _name_cell(titles: Mapping[str, str], cell: Cell) -> str:
    """Return a cell with the title of its framework and all its properties."""
    return f"{cell.task} {titles[cell.backend]} {cell.mode} {cell.device} {cell.precision} {cell.batch_size}"


def _label_cells(comparison: RunComparison) -> Labels:
    """Return cell -> its name with the title of its framework, without the properties that all its kind share."""
    parts = (comparison.metrics, comparison.regressions, comparison.states, comparison.excluded)
    cells = list(dict.fromkeys(item.cell for part in parts for item in part))
    titled = [replace(cell, backend=comparison.titles[cell.backend]) for cell in cells]
    return dict(zip(cells, map(" ".join, cell_labels(titled))))


def _join_by_cell(lines: Iterable[tuple[Cell, str]]) -> list[tuple[Cell, str]]:
    """Return one line for each cell, in the order of the first line of each."""
    by_cell: dict[Cell, list[str]] = {}
    for cell, text in lines:
        by_cell.setdefault(cell, []).append(text)
    return [(cell, "; ".join(texts)) for cell, texts in by_cell.items()]


def _answer(comparison: RunComparison) -> str:
    """Return how many metrics changed, and how many could not be decided, in one sentence."""
    outcomes = [change.change for change in comparison.metrics]
    changes = _list_changes(comparison)
    worse = sum(change.worse for change in changes)
    few = outcomes.count(NOT_ENOUGH_EVIDENCE)
    parts = [
        f"{count} of {len(outcomes)} metrics {verb}"
        for count, verb in ((worse, "became worse"), (len(changes) - worse, "became better"))
        if count
    ]
    if not changes and few < len(outcomes):
        parts.append("no metric changed beyond the noise")
    if few:
        parts.append(f"{few} of {len(outcomes)} metrics can't be decided: too few repeats in a run")
    slow = {loss.cell for loss in comparison.regressions if loss.kind == RegressionKind.SLOW_REPEATS}
    lost = {loss.cell for loss in comparison.regressions if loss.kind != RegressionKind.SLOW_REPEATS}
    parts += [
        f"{len(cells)} cell{'s' * (len(cells) > 1)} {text}, see below"
        for cells, text in ((slow, "with repeats that are slower than before"), (lost, "with other losses"))
        if cells
    ]
    return "; ".join(parts) or "nothing could be compared"


def _format_ratio(change: MetricChange) -> str:
    interval = f" [{change.low:.3f}, {change.high:.3f}]" if change.low is not None and change.high is not None else ""
    return f"x{change.ratio:.3f}{interval}"


def _list_changes(comparison: RunComparison) -> list[MetricChange]:
    """Return the metrics that changed beyond the noise, by cell; cells with the largest loss first."""
    changes = [change for change in comparison.metrics if change.is_known]
    changes.sort(key=lambda change: (not change.worse, -abs(math.log(change.ratio))))
    order = {cell: number for number, cell in enumerate(dict.fromkeys(change.cell for change in changes))}
    return sorted(changes, key=lambda change: order[change.cell])


def _format_row(change: MetricChange) -> list[str]:
    """Return the columns of `HEADINGS` for one metric."""
    name, unit, divisor = METRIC_NAMES.get(change.metric, (change.metric, "", 1))
    values = [format_significant(value / divisor) for value in (change.a, change.b)]
    ratio = format_metric(Metric(change.ratio, change.low, change.high), 1, 2)
    return [f"{name}, {unit}" if unit else name, change.change, *values, f"x{ratio}"]


def _summarize(comparison: RunComparison) -> list[str]:
    """Return the lines under the table: unchanged and unknown metrics, cells not compared, changed settings."""
    labels = _label_cells(comparison)
    outcomes = [change.change for change in comparison.metrics]
    few = outcomes.count(NOT_ENOUGH_EVIDENCE)
    lines = [f"{outcomes.count(SAME)} of {len(outcomes)} metrics are the same within the noise"]
    if few:
        lines.append(f"too few repeats to decide {few} metrics: measure both runs with --repeats 6 or more")
    lost = _join_by_cell((loss.cell, loss.detail) for loss in comparison.regressions)
    lines += [f"lost: {labels[cell]}: {text}" for cell, text in lost]
    lines += [f"{labels[change.cell]}: was {change.a}, is {change.b}" for change in comparison.states]
    lines += [f"not compared: {labels[each.cell]}: {each.reason}" for each in comparison.excluded]
    lines += [f"changed: {change.setting}: {change.a} -> {change.b}" for change in comparison.settings]
    return lines if comparison.settings else [*lines, "no other recorded setting changed"]


FORMATS: dict[str, Callable[[RunComparison], str]] = {"table": as_table, "json": as_json, "md": as_markdown}
