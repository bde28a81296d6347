"""The check of a clock: a step takes at least the time of its operations, and no work remains after `sync`."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from crossframe.backends import Backend
from crossframe.harness.errors import MissingError
from crossframe.harness.machine.environments import Environment, make_environment
from crossframe.harness.machine.gpus import refusal
from crossframe.harness.selftest.model import ClockCheck
from crossframe.harness.selftest.step_timer import MeasurementError, StepTimer
from crossframe.harness.worker.barrier import BARRIER, MOST
from crossframe.harness.worker.measurements import StepMeasurements
from crossframe.harness.worker.states import State
from crossframe.tasks import CORE
from crossframe.tasks import discover as discover_tasks
from crossframe.tasks.spec import Task
from crossframe.tasks.widen import widen

# The matrix product of NumPy may be slower than that of a framework; a clock that stops early is off by far more.
MARGIN = 3.0
GPU_SCALE = 4  # of the task, so that its operations take a GPU longer than the host takes to request them


def list_clock_tasks(device: str = "cpu") -> list[Task]:
    """Return the tasks of a default run, those with the most operations per parameter first.

    The parameters are read to detect work that remains after `sync`; reading should take a small part of a step.
    """
    tasks = [discover_tasks()[name]["quick"] for name in CORE]
    tasks.sort(key=lambda task: task.flops() / sum(map(math.prod, task.parameters().values())), reverse=True)
    return [widen(task, 1 if device == "cpu" else GPU_SCALE) for task in tasks]


def select_clock_task(device: str = "cpu") -> Task:
    """Return the task that shows most of a clock."""
    return list_clock_tasks(device)[0]


def check_clock(timer: StepTimer, task: Task, backend: Backend, environment: Environment) -> ClockCheck:
    """Return `failed` if steps end before their operations can be done, or are not finished after `sync`.

    MeasurementError if the process fails.
    """
    measurements = timer.time_steps(task, backend, environment, ceiling=True)
    worked_s, needed_s = median_step_s(measurements, timer.device), least_step_s(measurements, task)
    # Other programs may delay a read; work that is left delays most of them.
    shares = [
        read_s / epoch.train_s for read_s, epoch in zip(measurements.read_samples_s, measurements.epochs, strict=True)
    ]
    left = float(np.quantile(shares, 1 - MOST))
    reasons = []
    if worked_s * MARGIN < needed_s:
        kind = describe_time(timer.device)
        reasons.append(f"a step ends after {worked_s:.2g} s of {kind}, but its operations take {needed_s:.2g} s")
    if left > BARRIER:
        reasons.append(f"after sync, reading the weights still waits for {left:.0%} of the time")
    state = State.FAILED if reasons else State.OK
    return ClockCheck(backend.name, timer.device, state, "; ".join(reasons) or None, worked_s, needed_s, left)


def median_step_s(measurements: StepMeasurements, device: str) -> float:
    """Return the median seconds of a step: of processor time on a CPU, of elapsed time on a GPU.

    Other programs may take any share of the elapsed time of a busy processor; the work of a GPU is visible in elapsed
    time only.
    """
    elapsed_s = [epoch.train_s for epoch in measurements.epochs]
    samples_s = measurements.processor_samples_s if device == "cpu" else elapsed_s
    return float(np.median(samples_s)) / measurements.epochs[0].steps


def least_step_s(measurements: StepMeasurements, task: Task) -> float:
    """Return the least seconds of a step: the forward pass and the gradient of the weights, at the measured ceiling."""
    assert measurements.ceiling_flops is not None
    return 2 * task.flops() * task.batch_size / measurements.ceiling_flops


def describe_time(device: str) -> str:
    """Return the name of the time by which the steps on a device are measured."""
    return "processor time" if device == "cpu" else "elapsed time"


def try_clock(timer: StepTimer, task: Task, backend: Backend, python: Path | None = None) -> ClockCheck:
    """Return the check of a backend's clock; `failed` if it did not run.

    It is `unsupported` if the build can't run here, or the backend refuses the task. `python` is an interpreter to use,
    as it is, instead of the environment of the backend.
    """
    reason = None if python else refusal(backend, timer.device)
    if reason:
        return ClockCheck(backend.name, timer.device, State.UNSUPPORTED, reason)
    try:
        environment = Environment(python) if python else make_environment(backend, timer.device.partition(":")[0])
        return check_clock(timer, task, backend, environment)
    except MeasurementError as error:
        state = State.UNSUPPORTED if error.state == State.UNSUPPORTED else State.FAILED
        return ClockCheck(backend.name, timer.device, state, str(error))
    except MissingError as error:
        return ClockCheck(backend.name, timer.device, State.FAILED, str(error))


def find_clock_check(timer: StepTimer, backend: Backend, python: Path | None = None) -> ClockCheck:
    """Return the check of a backend's clock on the first of the tasks that it supports.

    A backend may lack the layers or the optimizer of a task, and is still measured on the others.
    """
    checks = []
    for task in list_clock_tasks(timer.device):
        checks.append(try_clock(timer, task, backend, python))
        if checks[-1].state != State.UNSUPPORTED:
            return checks[-1]
    return checks[0]
