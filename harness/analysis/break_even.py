"""The number of steps after which a compiled mode has made up for its longer start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from crossframe.harness.analysis.model import CellReport, Metric
from crossframe.harness.records.model import Cell
from crossframe.harness.worker.states import State


def add_break_even(reports: Sequence[CellReport], uncompiled_modes: Mapping[str, str]) -> list[CellReport]:
    """Return the reports with the metric `break_even_steps` of each, against the uncompiled mode of its backend."""
    by_cell = {report.cell: report for report in reports}
    values = [_measure(report, uncompiled_modes.get(report.backend), by_cell) for report in reports]
    return [
        replace(report, metrics={**report.metrics, "break_even_steps": value}) for report, value in zip(reports, values)
    ]


def _measure(report: CellReport, uncompiled_mode: str | None, by_cell: Mapping[Cell, CellReport]) -> Metric:
    if uncompiled_mode is None or report.mode == uncompiled_mode:
        return Metric(None, reason="this mode compiles nothing")
    uncompiled = by_cell.get(replace(report.cell, mode=uncompiled_mode))
    if uncompiled is None or uncompiled.state != State.OK or report.state != State.OK:
        return Metric(None, reason=f"this run has no {uncompiled_mode} cell to compare with")
    return _divide_start_by_gain(report.metrics, uncompiled.metrics)


def _divide_start_by_gain(compiled: Mapping[str, Metric], uncompiled: Mapping[str, Metric]) -> Metric:
    """Return (start - start') / (step' - step), where ' marks the uncompiled mode.

    The start is the sum of preparation and first step.
    """
    times, plain_times = _read_times(compiled), _read_times(uncompiled)
    if times is None or plain_times is None:
        return Metric(None, reason="not all of its times were measured")
    start_s, step_s = times
    plain_start_s, plain_step_s = plain_times
    gain_s = plain_step_s - step_s
    if gain_s <= 0:
        return Metric(None, reason="its steps are not faster than uncompiled steps")
    return Metric(max(0.0, (start_s - plain_start_s) / gain_s), n=compiled["step_s"].n)


def _read_times(metrics: Mapping[str, Metric]) -> tuple[float, float] | None:
    """Return (start, step) in seconds; None if a part of them was not measured."""
    prepare_s, first_step_s, step_s = (metrics[name].value for name in ("prepare_s", "first_step_s", "step_s"))
    if prepare_s is None or first_step_s is None or step_s is None:
        return None
    return prepare_s + first_step_s, step_s
