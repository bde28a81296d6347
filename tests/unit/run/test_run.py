"""The exit code of a run, and the lines that it prints."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from crossframe.harness.errors import CELL_FAILED, DONE, GATE_TRIPPED, INTERRUPTED, ExitCode
from crossframe.harness.plan.plan import Plan, make_plan
from crossframe.harness.records import store
from crossframe.harness.records.model import Cell, EnvironmentCost, ParitySummary, Record, RunOptions
from crossframe.harness.run import run
from crossframe.harness.run.execution import Execution
from crossframe.harness.selftest.model import ClockCheck
from crossframe.harness.worker.measurements import EvaluationPoint, TrainMeasurements
from crossframe.harness.worker.states import State
from tests.support.synthetic import VERIFIED

PLAN = Plan({}, {}, "cpu", (), RunOptions())


def make_record(state: State = State.OK, parity: State | None = State.OK, reason: str | None = None) -> Record:
    return Record(
        schema=2,
        job="job",
        repeat=1,
        cell=Cell("circle", "any", "eager", "cpu", "float32", 64),
        state=state,
        reason=reason,
        started="2026-11-28T00:00:00+00:00",
        ended="2026-11-28T00:00:02+00:00",
        wall_s=2.0,
        measurements=TrainMeasurements(),
        evaluation=None,
        parity=ParitySummary(parity, None, None) if parity else None,
        environment=EnvironmentCost(None, None),
    )


@pytest.mark.parametrize(
    ("records", "code"),
    [
        ([make_record()], DONE),
        ([make_record(parity=None)], DONE),
        ([make_record(), make_record(parity=State.FAILED)], GATE_TRIPPED),
        ([make_record(parity=State.UNSUPPORTED)], DONE),
        ([make_record(), make_record(State.TIMEOUT)], CELL_FAILED),
        ([make_record(State.FAILED, parity=State.FAILED)], CELL_FAILED),
    ],
)
def test_the_exit_code_is_that_of_the_worst_record(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, records: Sequence[Record], code: ExitCode
) -> None:
    monkeypatch.setattr(run, "execute", lambda *_: None)
    monkeypatch.setattr(store, "read_with_warnings", lambda _: records)
    assert run.run_to_exit_code(PLAN, tmp_path, set()) == code


def test_ctrl_c_names_the_command_that_continues(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "execute", interrupt)
    assert run.run_to_exit_code(PLAN, tmp_path, set()) == INTERRUPTED
    assert f"crossframe run --resume {tmp_path}" in capsys.readouterr().err


def test_the_end_of_a_job_has_its_reason() -> None:
    assert run.describe_end(make_record()) == "ok in 2.0 s"
    assert run.describe_end(make_record(State.FAILED, reason="no memory")) == "failed in 2.0 s: no memory"


def test_the_curve_has_the_training_loss_where_there_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    record = make_record()
    record.measurements.curve += [
        EvaluationPoint(1, loss=0.7, train_loss=None, quality={"accuracy": 0.5}, train_s=1.0),
        EvaluationPoint(100, loss=0.7, train_loss=0.25, quality={"accuracy": 0.5}, train_s=2.0),
    ]
    run.print_curve(record)
    lines = [line.split() for line in capsys.readouterr().err.splitlines()]
    assert lines == [["epoch", "1", "held-out", "loss", "0.700000"], ["epoch", "100", "training", "loss", "0.250000"]]


def test_a_cell_whose_clock_fails_is_not_verified(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    options = RunOptions(task=["circle"], backend=["reference"], preset="quick", device="cpu", cpus=[0])
    plan = make_plan(options)
    cell = plan.jobs[0].cell
    executed: list[Execution] = []
    broken = ClockCheck("reference", "cpu", State.FAILED, "steps end too early")
    monkeypatch.setattr(run, "prepare_environments", lambda *_: ({}, {}))
    monkeypatch.setattr(run, "verify_run", lambda *_: {cell: VERIFIED})
    monkeypatch.setattr(run, "check_clocks", lambda *_: {cell: broken})
    monkeypatch.setattr(run, "measure_ceilings", lambda *_: [])
    monkeypatch.setattr(run, "execute_jobs", lambda execution, *_: executed.append(execution))
    run.execute(plan, tmp_path, set())
    assert executed[0].parity[cell].state == State.FAILED
    assert executed[0].parity[cell].reason == "clock: steps end too early"
