"""A comparison of two runs as a table, JSON or Markdown, and as the lines of a gate."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from crossframe.harness.analysis.statistics import LEVEL
from crossframe.harness.console import TableLayout, escape_markdown, markdown_table, terminal_table
from crossframe.harness.decision.comparison import NOT_ENOUGH_EVIDENCE, SAME, MetricChange, RunComparison
from crossframe.harness.records.codec import to_json
from crossframe.harness.records.model import Cell
from crossframe.harness.worker.states import State

HEADINGS = ["cell", "metric", "became", "before", "after", "after / before"]
UNCHANGED = "no metric changed beyond the noise"


def describe_regressions(comparison: RunComparison, tolerance: float) -> list[str]:
    """Return a line for each metric that is worse by more than `tolerance`, and for everything else that was lost.

    The gate looks at all metrics of all cells, so a worse metric also needs a small `p_worse`. If no cell could be
    compared, that is a regression too: a gate must not pass without evidence.
    """
    titles = comparison.titles
    lines = [
        f"{_name_cell(titles, change.cell)}: was {change.a}, is {change.b}: {change.reason}"
        for change in comparison.states
        if change.a == State.OK
    ]
    lines += [
        f"{_name_cell(titles, regression.cell)}: {regression.detail}"
        for regression in comparison.regressions
        if regression.loss is None or regression.loss > tolerance
    ]
    for change in comparison.metrics:
        loss = max(change.ratio, 1 / change.ratio) - 1
        if change.worse and loss > tolerance and change.p_worse <= LEVEL:
            name = _name_cell(titles, change.cell)
            lines.append(f"{name}: {change.metric} {change.change}, {_format_ratio(change)}")
    return lines if comparison.metrics else [*lines, "nothing could be compared"]


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
    """Return the comparison as a table for a terminal."""
    a, b, rows = comparison.a, comparison.b, _list_rows(comparison)
    title = f"{a.name} ({a.created}) -> {b.name} ({b.created})\n"
    notes = _summarize(comparison)
    if not rows:
        return title + "\n".join([UNCHANGED, *notes]) + "\n"
    return title + terminal_table(HEADINGS, rows, TableLayout(right=(3, 4, 5)), notes)


def as_json(comparison: RunComparison) -> str:
    """Return the comparison as JSON."""
    return to_json(comparison, indent=1) + "\n"


def as_markdown(comparison: RunComparison) -> str:
    """Return the comparison as Markdown."""
    rows = _list_rows(comparison)
    table = markdown_table(HEADINGS, rows) if rows else [f"{UNCHANGED.capitalize()}."]
    notes = [f"- {escape_markdown(line)}" for line in _summarize(comparison)]
    heading = f"## {escape_markdown(comparison.a.name)} to {escape_markdown(comparison.b.name)}"
    return "\n".join([heading, "", *table, "", *notes, ""])


def _name_cell(titles: Mapping[str, str], cell: Cell) -> str:
    """Return a cell with the title of its framework."""
    return f"{cell.task} {titles[cell.backend]} {cell.mode} {cell.device} {cell.precision} {cell.batch_size}"


def _format_ratio(change: MetricChange) -> str:
    interval = f" [{change.low:.3f}, {change.high:.3f}]" if change.low is not None and change.high is not None else ""
    return f"x{change.ratio:.3f}{interval}"


def _list_rows(comparison: RunComparison) -> list[list[str]]:
    """Return a row for each metric that changed beyond the noise, worse ones first, then by the size of the change."""
    changes = [change for change in comparison.metrics if change.is_known]
    changes.sort(key=lambda change: (not change.worse, -abs(math.log(change.ratio))))
    return [
        [
            _name_cell(comparison.titles, change.cell),
            change.metric,
            change.change,
            f"{change.a:.4g}",
            f"{change.b:.4g}",
            _format_ratio(change),
        ]
        for change in changes
    ]


def _summarize(comparison: RunComparison) -> list[str]:
    """Return the lines under the table: unchanged and unknown metrics, cells not compared, changed settings."""
    titles = comparison.titles
    outcomes = [change.change for change in comparison.metrics]
    few = outcomes.count(NOT_ENOUGH_EVIDENCE)
    lines = [f"{outcomes.count(SAME)} of {len(outcomes)} metrics are the same within the noise"]
    if few:
        lines.append(f"not enough evidence on {few} metrics: too few repeats in a run; use --repeats 6 or more")
    lines += [f"lost: {_name_cell(titles, loss.cell)}: {loss.detail}" for loss in comparison.regressions]
    lines += [f"{_name_cell(titles, change.cell)}: was {change.a}, is {change.b}" for change in comparison.states]
    lines += [f"not compared: {_name_cell(titles, each.cell)}: {each.reason}" for each in comparison.excluded]
    lines += [f"changed: {change.setting}: {change.a} -> {change.b}" for change in comparison.settings]
    return lines if comparison.settings else [*lines, "no other recorded setting changed"]


FORMATS: dict[str, Callable[[RunComparison], str]] = {"table": as_table, "json": as_json, "md": as_markdown}
