"""Every check can change the state of a result."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from crossframe.harness.launch.launch import Outcome
from crossframe.harness.portability import checks
from crossframe.harness.portability.checks import WrongOutputError
from crossframe.harness.records.portability import (
    Checks,
    DecisionCounts,
    Distances,
    InputChecks,
    NanBehaviour,
    PortabilityState,
    QualityCheck,
    Stage,
)
from crossframe.harness.worker.measurements import OnnxMeasurements
from crossframe.harness.worker.states import State
from tests.support.models import RECURRENT, make_model_file

DISTANCES = Distances(1e-6, 1e-6, 1.0, 1.0, True, framework_error=5e-7, framework_error_ratio=2.0)
CORRECT = Checks(
    distances=DISTANCES,
    quality=QualityCheck("accuracy", 0.9, 0.0005),
    decisions=DecisionCounts(labels=9, ties=1, flips=0),
    batching_error=1e-7,
    inputs=InputChecks(zeros=0.0, large=1e-6, nan=NanBehaviour.KEPT),
)
CHANGED_QUALITY = replace(CORRECT, quality=QualityCheck("accuracy", 0.9, -0.0015))
WRONG = {
    "differ from the reference": replace(CORRECT, distances=replace(DISTANCES, relative_error=2e-4)),
    "accuracy changes": CHANGED_QUALITY,
    "labels differ": replace(CORRECT, decisions=DecisionCounts(labels=9, ties=1, flips=1)),
    "smaller batches": replace(CORRECT, batching_error=2e-4),
    "NaN": replace(CORRECT, inputs=InputChecks(nan=NanBehaviour.SPREAD)),
}
COSTLY = {
    "12 times that of the framework": replace(CORRECT, distances=replace(DISTANCES, framework_error_ratio=12.0)),
    "large inputs: 0.01": replace(CORRECT, inputs=InputChecks(large=0.01)),
    "large inputs: not finite": replace(CORRECT, inputs=InputChecks(large="not finite")),
}
COMPLETE = OnnxMeasurements(stage="run", sets={"batch_1": None, "batch_2": None})


def test_correct_outputs_have_no_shortcomings() -> None:
    checks.require_correct(CORRECT)
    assert not checks.list_shortcomings(CORRECT, COMPLETE)
    assert not checks.list_quality_costs(CORRECT)


@pytest.mark.parametrize("message", WRONG)
def test_failed_checks_are_errors(message: str) -> None:
    with pytest.raises(WrongOutputError, match=message):
        checks.require_correct(WRONG[message])


@pytest.mark.parametrize("message", COSTLY)
def test_shortcomings_are_costs(message: str) -> None:
    checks.require_correct(COSTLY[message])
    (cost,) = checks.list_shortcomings(COSTLY[message], COMPLETE)
    assert message in cost


def test_failed_batch_sizes_are_costs() -> None:
    partial = OnnxMeasurements(stage="run", sets={"batch_1": None, "batch_2": "refused"})
    assert checks.list_shortcomings(CORRECT, partial) == ["runs only at batch 1: refused"]


def test_changed_quality_is_a_cost_of_low_precision() -> None:
    assert checks.list_quality_costs(CHANGED_QUALITY) == ["accuracy changes by -0.0015"]


# How a process ended: state of the job, stage file, stage in its measurements -> state and stage of the result.
FAILURES = [
    (State.TIMEOUT, "run", None, PortabilityState.TIMEOUT, Stage.RUN),
    (State.FAILED, "import", "import", PortabilityState.NOT_INSTALLED, Stage.IMPORT),
    (State.NOT_INSTALLED, None, None, PortabilityState.NOT_INSTALLED, Stage.IMPORT),
    (State.OUT_OF_MEMORY, "run", "run", PortabilityState.CRASH, Stage.RUN),
    (State.FAILED, "load", "load", PortabilityState.REFUSED, Stage.LOAD),
    (State.FAILED, "compile", None, PortabilityState.CRASH, Stage.COMPILE),
]


@pytest.mark.parametrize(("job_state", "stage_file", "reported", "state", "stage"), FAILURES)
def test_failed_processes_are_classified(
    tmp_path: Path,
    job_state: State,
    stage_file: str | None,
    reported: str | None,
    state: PortabilityState,
    stage: Stage,
) -> None:
    if stage_file:
        (tmp_path / "stage").write_text(stage_file)
    (tmp_path / "log.txt").write_text("$ command\nthread panicked\n")
    outcome = Outcome(job_state, "killed by SIGABRT; log: …", 1.0, OnnxMeasurements(stage=reported))
    conclusion = checks.classify_failure(outcome, tmp_path)
    assert (conclusion.state, conclusion.stage) == (state, stage)
    assert "killed by SIGABRT" in str(conclusion.reason)
    if stage_file == "compile":
        assert conclusion.reason == "killed by SIGABRT: thread panicked"


def test_a_runtime_that_leaves_out_an_output_is_wrong(tmp_path: Path) -> None:
    file = make_model_file(tmp_path, RECURRENT)
    outputs = {f"{name}/0": expected[0] for name, expected in file.vectors.expected.items()}
    complete = OnnxMeasurements(stage="run", sets=dict.fromkeys(file.vectors.feeds))
    assert checks.conclude(file, complete, outputs, None).state.runs
    missing = {name: output for name, output in outputs.items() if name != "batch_3/0"}
    conclusion = checks.conclude(file, complete, missing, None)
    assert conclusion.state == PortabilityState.WRONG
    assert "batch of 3: output 0 is missing" in str(conclusion.reason)
    assert checks.conclude(file, complete, {}, None).state == PortabilityState.WRONG


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_batching_error_that_is_no_number_is_wrong(value: float) -> None:
    with pytest.raises(WrongOutputError, match="smaller batches"):
        checks.require_correct(replace(CORRECT, batching_error=float(value)))


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\xff", b"run" * 1000])
def test_a_stage_that_is_not_valid_is_the_first(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "stage").write_bytes(content)
    assert checks.read_stage(tmp_path) == Stage.IMPORT


def test_a_pipe_in_place_of_the_stage_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "stage")
    assert checks.read_stage(tmp_path) == Stage.IMPORT
    (tmp_path / "stage").unlink()
    (tmp_path / "stage").write_text("compile")
    assert checks.read_stage(tmp_path) == Stage.COMPILE
