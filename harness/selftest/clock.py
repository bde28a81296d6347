"""Whether a backend's clock stops when the work is done: no sooner than its sums take, and with nothing left over."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from crossframe.backends import Backend
from crossframe.harness.errors import Missing
from crossframe.harness.machine.environments import Environment, make
from crossframe.harness.machine.gpus import refusal
from crossframe.harness.parity.checks import BARRIER
from crossframe.harness.selftest.bench import Bench, NotMeasured
from crossframe.tasks import discover as discover_tasks
from crossframe.tasks.spec import Task
from crossframe.tasks.widen import scaled

# NumPy's product may be slower than a framework's; a clock that stops early is off by far more.
MARGIN = 3.0
CARD_SCALE = 4  # of the busiest task, so that its sums take a card longer than the host takes to ask for them


def busiest(device: str = "cpu") -> Task:
    """The task with the most sums for each parameter, which must be read back to see what is left after `sync`."""
    tasks = [presets["quick"] for presets in discover_tasks().values()]
    found = max(tasks, key=lambda task: task.flops() / sum(map(math.prod, task.parameters().values())))
    return scaled(found, 1 if device == "cpu" else CARD_SCALE)


def clock(bench: Bench, task: Task, backend: Backend, environment: Environment) -> dict[str, Any]:
    """{backend, state, reason, ...}: failed where steps end before the sums in them can be done, or after `sync`."""
    measures = bench.measure(task, backend, environment, ceiling=True)
    steps = measures["epochs"][0]["steps"]
    # Of a busy processor others may take any part of the time on the wall; what a card does shows on the wall alone.
    on_wall = [epoch["train_s"] for epoch in measures["epochs"]]
    worked = measures["processor_samples_s"] if bench.device == "cpu" else on_wall
    worked_s = float(np.median(worked)) / steps
    # Forward, and the gradient of the weights: what can't be left out in any step.
    needed_s = 2 * task.flops() * task.batch_size / measures["ceiling_flops"]
    left = min(read / epoch["train_s"] for read, epoch in zip(measures["read_samples_s"], measures["epochs"]))
    why = []
    if worked_s * MARGIN < needed_s:
        why.append(f"a step ends after {worked_s:.2g} s of {time_of(bench.device)}, but its sums take {needed_s:.2g} s")
    if left > BARRIER:
        why.append(f"after sync, reading the weights still waits for {left:.0%} of the time")
    return {
        "backend": backend.name,
        "device": bench.device,
        "state": "failed" if why else "ok",
        "reason": "; ".join(why) or None,
        "worked_s": worked_s,
        "needed_s": needed_s,
        "left_after_sync": left,
    }


def time_of(device: str) -> str:
    return "processor time" if device == "cpu" else "time on the wall"


def clock_or_why(bench: Bench, task: Task, backend: Backend) -> dict[str, Any]:
    """`clock`; unsupported where its build can't run; failed too where it has none, or the process ends badly."""
    why = refusal(backend, bench.device)
    state = "unsupported" if why else "failed"
    try:
        if not why:
            return clock(bench, task, backend, make(backend, bench.device.partition(":")[0]))
    except (NotMeasured, Missing) as error:
        why = str(error)
    nothing = {"worked_s": None, "needed_s": None, "left_after_sync": None}
    return {"backend": backend.name, "device": bench.device, "state": state, "reason": why, **nothing}
