"""Hints on checkpoints: the part of a model's state that a checkpoint does not restore."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import crossframe.backends.reference.model as reference
from crossframe.backends.contract import Dialect
from crossframe.harness.parity.checks import Check
from crossframe.harness.parity.reference_traces import ReferenceTraces
from crossframe.harness.worker.backend_model import copy_arrays
from crossframe.harness.worker.probes import Probe, Recorder
from crossframe.tasks.spec import Arrays


def describe_bad_checkpoint(
    reference_traces: ReferenceTraces, probe: Probe, check: Check, traces: Arrays, dialect: Dialect
) -> str | None:
    """Return which part of a checkpoint is not restored; None if no single part explains it."""
    if check.updates == probe.saved_after:
        lost_part = "the running statistics" if check.parameter in probe.task.buffers() else "the weights"
        return f"the checkpoint does not restore {lost_part}"
    prefix = f"{check.probe}/weights/{check.updates}/"
    left = {key.removeprefix(prefix): value for key, value in traces.items() if key.startswith(prefix)}
    expected = reference_traces.trace(probe, dialect)
    for meaning, lost in LOST_IN_CHECKPOINTS.items():
        model = reference.prepare(probe.task, reference_traces.start(probe), "cpu", dialect=dialect)
        recorder = Recorder(probe, model, reference_traces.batches)
        recorder.train(probe.batches[: probe.saved_after])
        if not lost(model):
            continue
        recorder.train(probe.batches[probe.saved_after : check.updates])
        distance = difference = 0.0
        for name, value in copy_arrays(model).items():
            distance += float(np.linalg.norm(left[name] - value)) if name in left else np.inf
            difference += float(np.linalg.norm(left.get(name, value) - expected[f"weights/{check.updates}/{name}"]))
        if distance < 0.05 * difference:
            return f"the checkpoint does not restore {meaning}"
    return None


def lose_slots(model: reference.Model) -> bool:
    """Empty the optimizer's state; return whether it had one."""
    had = any(slots for slots in model.state.values()) and getattr(model.task.optimizer, "momentum", 1.0) != 0
    model.state = {name: {} for name in model.state}
    return had


def lose_counter(model: reference.Model) -> bool:
    """Begin the count of updates anew; return whether anything depends on it."""
    model.updates = 0
    return True


# Part of a checkpoint -> a function that loses it; it returns False where there is no such part.
LOST_IN_CHECKPOINTS: dict[str, Callable[[reference.Model], bool]] = {
    "the state of the optimizer": lose_slots,
    "the number of updates, on which the schedule and corrections depend": lose_counter,
    "the state of the optimizer and the number of updates": lambda model: lose_slots(model) and lose_counter(model),
}
