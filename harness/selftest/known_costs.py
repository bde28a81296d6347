"""Costs that are known beforehand: steps of a given duration and allocations of a given size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from crossframe.backends import Backend
from crossframe.harness.analysis import statistics
from crossframe.harness.machine.environments import Environment
from crossframe.harness.selftest.model import PEAK_BYTES, STEP_S, KnownCost
from crossframe.harness.selftest.step_timer import StepTimer
from crossframe.harness.worker.measurements import StepMeasurements
from crossframe.tasks import discover as discover_tasks
from crossframe.tasks.spec import Task

MODULE = "crossframe.harness.worker.known_cost"  # the backend that adds the cost
STEPS_S = (0.001, 0.01, 0.1)
BYTES = (64 << 20, 256 << 20, 1024 << 20)


def add_known_cost(backend: Backend, **cost: float | str) -> Backend:
    """Return the same backend with a known cost: `step_s` (seconds), `slowdown` (factor) or `bytes`."""
    settings = {f"KNOWN_COST_{name.upper()}": str(value) for name, value in cost.items()}
    env_vars = {**backend.manifest.env_vars, **settings, "KNOWN_COST_MODULE": backend.module}
    return replace(backend, module=MODULE, manifest=replace(backend.manifest, env_vars=env_vars))


def select_smallest_task() -> Task:
    """Return the quick preset of the task with the fewest operations."""
    return min((presets["quick"] for presets in discover_tasks().values()), key=Task.flops)


def measure_known_costs(timer: StepTimer, backend: Backend, environment: Environment) -> Iterator[KnownCost]:
    """Yield each known cost with its measurement. Memory is measured on the CPU.

    The amount of host memory that a GPU driver takes varies from process to process.
    """
    task = select_smallest_task()
    for known_s in STEPS_S:
        step_s = median_step_s(timer.time_steps(task, add_known_cost(backend, step_s=known_s), environment))
        yield KnownCost(STEP_S, known_s, step_s, step_s / known_s - 1)
    timer = replace(timer, device="cpu")
    baseline = timer.time_steps(task, add_known_cost(backend), environment).host_peak_bytes
    if baseline is None:  # this system does not report it
        return
    for size in BYTES:
        peak = timer.time_steps(task, add_known_cost(backend, bytes=size), environment).host_peak_bytes
        assert peak is not None
        yield KnownCost(PEAK_BYTES, size, peak - baseline, peak - baseline - size)


def median_step_s(measurements: StepMeasurements) -> float:
    """Return the median seconds of the single steps after warm-up."""
    assert measurements.step_samples_s is not None
    return float(np.median(statistics.steady(measurements.step_samples_s)))
