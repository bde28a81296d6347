"""The check of a backend's clock, from measurements whose values are known."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from crossframe.backends import discover
from crossframe.harness.machine.environments import Environment
from crossframe.harness.selftest.clock import (
    check_clock,
    find_clock_check,
    list_clock_tasks,
    select_clock_task,
    try_clock,
)
from crossframe.harness.selftest.known_costs import select_smallest_task
from crossframe.harness.selftest.step_timer import MeasurementError, StepTimer, device_for
from crossframe.harness.worker.measurements import Epoch, StepMeasurements
from crossframe.harness.worker.states import State
from crossframe.tasks.spec import Task

GPU_FLOPS = 5e13


@pytest.mark.parametrize(
    ("step_s", "read_s", "reason"),
    [
        (0.02, 0.0, None),
        (1e-4, 0.0, "0.0001 s of elapsed time"),
        (0.02, 0.02, "after sync, reading the weights still waits"),
    ],
)
def test_steps_on_a_gpu_are_compared_with_its_ceiling(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, step_s: float, read_s: float, reason: str | None
) -> None:
    """The steps of a GPU take almost no processor time, which is correct."""
    task = select_clock_task("cuda:0")
    # Otherwise a GPU might be done before the host has requested all operations.
    assert 2 * task.flops() * task.batch_size / GPU_FLOPS > 0.001
    measurements = StepMeasurements(
        epochs=[Epoch(None, step_s, 1)],
        processor_samples_s=[1e-6],
        read_samples_s=[read_s],
        ceiling_flops=GPU_FLOPS,
    )
    monkeypatch.setattr(StepTimer, "time_steps", lambda *_, **__: measurements)
    timer = StepTimer(tmp_path, [0], "cuda:0", 60)
    check = check_clock(timer, task, discover()["torch"], Environment(Path(sys.executable)))
    assert check.state == (State.FAILED if reason else State.OK)
    assert (check.reason is None) if reason is None else (reason in str(check.reason))


def test_a_backend_that_cannot_be_imported_does_not_end_the_selftest(tmp_path: Path) -> None:
    absent = replace(discover()["reference"], name="absent", module="crossframe.backends.absent")
    check = try_clock(StepTimer(tmp_path, [0], "cpu", 60), select_smallest_task(), absent)
    assert check.state == State.FAILED
    assert "No module named 'crossframe.backends.absent'" in str(check.reason)


@pytest.mark.parametrize(("refused", "state"), [(0, State.OK), (2, State.OK), (4, State.UNSUPPORTED)])
def test_tasks_that_a_backend_refuses_are_passed_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, refused: int, state: State
) -> None:
    tasks = list_clock_tasks()
    tried = []

    def time_steps(_: StepTimer, task: Task, *arguments: object, **options: object) -> StepMeasurements:
        tried.append(task.name)
        if len(tried) <= refused:
            raise MeasurementError("reference: unsupported: no", State.UNSUPPORTED)
        return StepMeasurements(
            epochs=[Epoch(None, 1.0, 1)], processor_samples_s=[1.0], read_samples_s=[0.0], ceiling_flops=1e12
        )

    monkeypatch.setattr(StepTimer, "time_steps", time_steps)
    check = find_clock_check(StepTimer(tmp_path, [0], "cpu", 60), discover()["reference"], Path(sys.executable))
    assert check.state == state
    assert tried == [task.name for task in tasks][: refused + 1]


def test_a_process_that_fails_is_no_refusal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def time_steps(*arguments: object, **options: object) -> StepMeasurements:
        raise MeasurementError("reference: failed: no", State.FAILED)

    monkeypatch.setattr(StepTimer, "time_steps", time_steps)
    check = find_clock_check(StepTimer(tmp_path, [0], "cpu", 60), discover()["reference"], Path(sys.executable))
    assert (check.state, check.reason) == (State.FAILED, "reference: failed: no")


def test_backends_without_builds_are_measured_on_the_cpu() -> None:
    backends = discover()
    assert device_for(backends["reference"], "cuda:0") == "cpu"
    assert device_for(backends["torch"], "cuda:0") == "cuda:0"
