"""The operators of a step in lines and tables."""

import pytest

from crossframe.harness.analysis.metrics import build_cell_reports
from crossframe.harness.analysis.model import CellReport
from crossframe.harness.analysis.operators import NAME_LENGTH, operator_lines, operator_rows, operator_table
from crossframe.harness.worker.measurements import OperatorProfile, OperatorTime
from crossframe.harness.worker.profiling import OTHERS
from crossframe.harness.worker.states import State
from tests.support.synthetic import make_record

LONG = "kernel" * 100
ROWS = [OperatorTime(OTHERS, 40, 0.5), OperatorTime(LONG, 20, 0.3), OperatorTime("sum", 10, 0.2)]


def report_profile(profile: OperatorProfile | None) -> CellReport:
    (report,) = build_cell_reports([make_record("a", 1, 0.01, measurements={"operators": profile})], {})
    return report


def test_rows_are_per_step() -> None:
    rows = operator_rows(report_profile(OperatorProfile(State.OK, None, 10, ROWS)))
    assert [(row.name, row.calls) for row in rows] == [(OTHERS, 4), (LONG, 2), ("sum", 1)]
    assert [row.self_s for row in rows] == pytest.approx([0.05, 0.03, 0.02])
    assert [row.share for row in rows] == pytest.approx([0.5, 0.3, 0.2])


def test_a_line_names_the_longest_operators() -> None:
    (line,) = operator_lines([report_profile(OperatorProfile(State.OK, None, 10, ROWS))])
    assert line == f"circle a eager: 100 ms of operators a step, in the profiler: 30% {LONG[:NAME_LENGTH]}, 20% sum"


def test_the_table_has_every_operator() -> None:
    headings, *body = operator_table([report_profile(OperatorProfile(State.OK, None, 10, ROWS))])
    assert all(len(row) == len(headings) for row in body)
    assert body[2] == ["circle", "a", "eager", "sum", "1", "20.0000", "20.0%"]


def test_no_profile_has_no_rows() -> None:
    failed = report_profile(OperatorProfile(State.FAILED, "no profiler"))
    assert operator_rows(failed) == []
    assert operator_lines([failed]) == ["circle a eager: no profile: failed: no profiler"]
    assert operator_table([failed]) == []
    unprofiled = report_profile(None)
    assert operator_rows(unprofiled) == []
    assert operator_lines([unprofiled]) == []
