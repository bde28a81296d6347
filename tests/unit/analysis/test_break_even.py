"""The steps after which a compiled mode has paid back its start."""

import pytest

from crossframe.harness.analysis.metrics import build_cell_reports
from crossframe.harness.records.model import Record
from crossframe.harness.worker.states import State
from tests.support.synthetic import make_record

MODES = {"a": "eager"}


def make_mode(mode: str, first_step_s: float, step_s: float) -> Record:
    return make_record("a", 1, step_s, cell={"mode": mode}, measurements={"first_step_s": first_step_s})


@pytest.mark.parametrize(
    ("first_step_s", "step_s", "steps"),
    [(5.0, 0.01, 400.0), (1.0, 0.01, 0.0), (0.5, 0.01, 0.0)],
)
def test_a_longer_start_is_paid_back_by_faster_steps(first_step_s: float, step_s: float, steps: float) -> None:
    reports = build_cell_reports([make_mode("compile", first_step_s, step_s), make_mode("eager", 1.0, 0.02)], MODES)
    compiled, eager = (report.metrics["break_even_steps"] for report in reports)
    assert compiled.value == pytest.approx(steps)
    assert eager.reason == "this mode compiles nothing"


def test_a_missing_value_has_a_reason() -> None:
    eager = make_mode("eager", 1.0, 0.01)
    slower = build_cell_reports([make_mode("compile", 2.0, 0.02), eager], MODES)[0]
    assert slower.metrics["break_even_steps"].reason == "its steps are not faster than uncompiled steps"
    (alone,) = build_cell_reports([make_mode("compile", 2.0, 0.02)], MODES)
    assert alone.metrics["break_even_steps"].reason == "this run has no eager cell to compare with"
    failed = make_record("a", 1, 0.01, cell={"mode": "compile"}, state=State.FAILED, reason="why")
    assert build_cell_reports([failed, eager], MODES)[0].metrics["break_even_steps"].value is None
    (unknown,) = build_cell_reports([make_mode("compile", 2.0, 0.02)], {})
    assert unknown.metrics["break_even_steps"].reason == "this mode compiles nothing"
