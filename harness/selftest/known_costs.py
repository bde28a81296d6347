"""Costs that are known beforehand: steps of a given duration and allocations of a given size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from statistics import median

import numpy as np

from crossframe.backends import Backend
from crossframe.harness.analysis import statistics
from crossframe.harness.machine.environments import Environment
from crossframe.harness.selftest.model import FIRST_STEP_S, PEAK_BYTES, STEP_S, KnownCost
from crossframe.harness.selftest.step_timer import StepTimer
from crossframe.harness.worker.measurements import StepMeasurements
from crossframe.tasks import discover as discover_tasks
from crossframe.tasks.spec import Task

MODULE = "crossframe.harness.worker.known_cost"  # the backend that adds the cost
STEPS_S = (0.001, 0.01, 0.1)
FIRST_STEPS_S = (0.0002, 0.0005, 0.001)
FIRST_TRIES = 5  # processes, of which the median counts: there is only one first step in each
BYTES = (64 << 20, 256 << 20, 1024 << 20)
# What holds memory -> the sizes that it holds.
HOLDERS = {"worker": BYTES, **dict.fromkeys(("freed", "reset", "child", "grandchild"), BYTES[1:2])}


def add_known_cost(backend: Backend, **cost: float | str) -> Backend:
    """Return the same backend with a known cost.

    `step_s` and `first_step_s` in seconds, `slowdown` as a factor, `bytes` and their `holder` (`worker.known_cost`).
    """
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
    for known_s in FIRST_STEPS_S:
        costly = add_known_cost(backend, first_step_s=known_s)
        samples_s = [timer.time_steps(task, costly, environment).first_step_s for _ in range(FIRST_TRIES)]
        first_s = median(sample_s for sample_s in samples_s if sample_s is not None)
        yield KnownCost(FIRST_STEP_S, known_s, first_s, first_s / known_s - 1)
    for holder, sizes in HOLDERS.items():
        yield from measure_memory(replace(timer, device="cpu"), backend, environment, holder, sizes)


def measure_memory(
    timer: StepTimer, backend: Backend, environment: Environment, holder: str, sizes: Sequence[int]
) -> Iterator[KnownCost]:
    """Yield each size of memory with its measurement; none where the system does not report the peak."""
    task = select_smallest_task()

    def read_peak(size: int) -> int | None:
        costly = add_known_cost(backend, bytes=size, holder=holder)
        return timer.time_steps(task, costly, environment).host_peak_bytes

    baseline = read_peak(0)
    for size in sizes:
        peak = read_peak(size)
        if baseline is not None and peak is not None:
            yield KnownCost(PEAK_BYTES, size, peak - baseline, peak - baseline - size, holder)


def median_step_s(measurements: StepMeasurements) -> float:
    """Return the median seconds of the single steps after warm-up."""
    assert measurements.step_samples_s is not None
    return float(np.median(statistics.steady(measurements.step_samples_s)))
