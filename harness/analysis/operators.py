"""The operators of a training step, from the profiles of the frameworks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from crossframe.harness.analysis.labels import cell_labels
from crossframe.harness.analysis.model import CellReport
from crossframe.harness.worker.profiling import OTHERS
from crossframe.harness.worker.states import State

MAX_NAMES = 3  # of operators in the line of a cell
NAME_LENGTH = 60  # characters of a name in that line; names of GPU kernels have hundreds of characters


@dataclass(frozen=True)
class OperatorRow:
    """One operator in one training step."""

    name: str
    calls: float
    self_s: float
    share: float  # of the time of all operators


def operator_rows(report: CellReport) -> list[OperatorRow]:
    """Return the operators of one step, the longest first; [] if there is no profile."""
    profile = report.operators
    if profile is None or profile.state != State.OK or not profile.steps:
        return []
    total_s = sum(row.self_s for row in profile.rows)
    return [
        OperatorRow(
            name=row.name,
            calls=row.calls / profile.steps,
            self_s=row.self_s / profile.steps,
            share=row.self_s / total_s if total_s else 0.0,
        )
        for row in profile.rows
    ]


def operator_lines(reports: Sequence[CellReport]) -> list[str]:
    """Return one line per profiled cell: the time of all operators and the longest ones, or why there is no profile."""
    lines = []
    for report, label in zip(reports, cell_labels(reports)):
        profile, rows, name = report.operators, operator_rows(report), " ".join(label)
        if profile is not None and profile.state != State.OK:
            lines.append(f"{name}: no profile: {profile.state}: {profile.reason}")
        elif rows:
            longest = [f"{row.share:.0%} {row.name[:NAME_LENGTH]}" for row in rows if row.name != OTHERS][:MAX_NAMES]
            total_ms = sum(row.self_s for row in rows) * 1e3
            lines.append(f"{name}: {total_ms:.3g} ms of operators a step, in the profiler: {', '.join(longest)}")
    return lines


def operator_table(reports: Sequence[CellReport]) -> list[list[str]]:
    """Return every operator of every cell as text, the headings first; [] if no cell has a profile."""
    body = [
        [*label, row.name, f"{row.calls:g}", f"{row.self_s * 1e3:.4f}", f"{row.share:.1%}"]
        for report, label in zip(reports, cell_labels(reports))
        for row in operator_rows(report)
    ]
    return body and [["task", "backend", "mode", "operator", "calls a step", "self ms a step", "share"], *body]
