"""What the results of a conformance check come to: nothing verified is not passed, and what is missing is listed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from crossframe.harness.cli import program
from crossframe.harness.parity.checks import Check
from crossframe.harness.parity.result import CellParity, ParityResult
from crossframe.harness.plan.plan import Plan
from crossframe.harness.records.model import Cell, OnnxAgreement
from crossframe.harness.run import conformance
from crossframe.harness.run.conformance import (
    ConformanceResult,
    ConformanceState,
    list_parity_results,
    list_run_results,
    summarize_results,
)
from crossframe.harness.worker.states import State
from tests.support.synthetic import make_record

CELL = Cell("circle", "any", "eager", "cpu", "float32", 64)
MODES = ConformanceResult("contract::modes", ConformanceState.PASSED)
PASSED, FAILED = (Check("forward", "outputs", 0, None, 0.0, None, 1e-3, passed) for passed in (True, False))
NO_ONNX = OnnxAgreement(State.UNSUPPORTED, "no exporter", None, None, None)
LACKS_ADAGRAD = ParityResult(State.OK, None, checks=[PASSED], missing_optimizers={"adagrad": "no AdaGrad"})
REFUSES = ParityResult(State.UNSUPPORTED, "no LSTM")


def list_results(*parities: ParityResult) -> list[ConformanceResult]:
    """Return the results of cells, of the tasks `task0`, `task1` and so on."""
    cells = [replace(CELL, task=f"task{number}") for number in range(len(parities))]
    return [MODES, *(result for each in map(CellParity, cells, parities) for result in list_parity_results(each))]


def test_nothing_verified_is_not_passed() -> None:
    summary = summarize_results(list_results(REFUSES, REFUSES))
    assert (summary.verified, summary.conforms) == ([], False)
    assert summary.counts == {"passed": 1, "failed": 0, "unsupported": 2}
    assert summary.missing == {f"the task task{number} in mode eager": "no LSTM" for number in (0, 1)}


def test_a_run_that_passes_verifies_nothing() -> None:
    results = [MODES, *list_run_results(make_record("any", 1, 0.01, measurements={"checkpoint_exact": True}))]
    assert {result.state for result in results} == {ConformanceState.PASSED}
    assert not summarize_results(results).conforms


def test_a_missing_optimizer_withholds_nothing_else() -> None:
    summary = summarize_results(list_results(LACKS_ADAGRAD, REFUSES))
    assert (summary.verified, summary.conforms) == (["task0[eager]"], True)
    assert summary.missing == {
        "tasks that use adagrad in mode eager": "no AdaGrad",
        "the task task1 in mode eager": "no LSTM",
    }


def test_a_task_with_a_failed_check_is_not_verified() -> None:
    summary = summarize_results(
        list_results(ParityResult(State.FAILED, "forward", checks=[PASSED, FAILED]), LACKS_ADAGRAD)
    )
    assert (summary.verified, summary.conforms) == (["task1[eager]"], False)
    assert summary.counts["failed"] == 1


def test_a_missing_exporter_is_listed_with_what_it_would_open() -> None:
    record = make_record("any", 1, 0.01, measurements={"checkpoint_exact": True}, evaluation={"onnx": NO_ONNX})
    (opens,) = summarize_results(list_run_results(record)).missing
    assert "crossframe portability" in opens
    broken = replace(NO_ONNX, state=State.FAILED)
    record = replace(record, evaluation=replace(record.evaluation, onnx=broken)) if record.evaluation else record
    summary = summarize_results(list_run_results(record))
    assert (summary.counts["failed"], summary.missing) == (1, {})


@pytest.mark.parametrize(("parity", "code"), [(REFUSES, 4), (LACKS_ADAGRAD, 0)])
def test_the_command_says_what_was_verified(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], parity: ParityResult, code: int
) -> None:
    def check_conformance(plan: Plan) -> Iterator[ConformanceResult]:
        yield from list_results(parity)

    monkeypatch.setattr(conformance, "check_conformance", check_conformance)
    assert program.main(["conformance", "reference", "--task", "circle"]) == code
    printed = capsys.readouterr().out.splitlines()
    if code:
        assert printed[-3:] == [
            "missing: no LSTM; it would open the task task0 in mode eager",
            "verified: nothing, so the backend does not conform",
            "1 passed, 0 failed, 1 unsupported",
        ]
    else:
        assert printed[-3:] == [
            "missing: no AdaGrad; it would open tasks that use adagrad in mode eager",
            "verified: task0[eager]",
            "2 passed, 0 failed, 1 unsupported",
        ]
    assert program.main(["conformance", "reference", "--task", "circle", "--format", "json"]) == code
    results = json.loads(capsys.readouterr().out)
    assert [result["opens"] for result in results if result["state"] == "unsupported"] != [None]
