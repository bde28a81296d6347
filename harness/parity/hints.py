"""Hints: the name of a known mistake, where a failed check has the shape of one.

Each hypothesis is the reference model with that mistake made on purpose. If its trace agrees with that of the backend,
it is the likely cause.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any

import numpy as np

import crossframe.backends.reference.model as reference
from crossframe.backends.contract import DIALECTS, Dialect
from crossframe.harness.parity.checks import Check, output_error
from crossframe.harness.parity.reference_traces import ReferenceTraces, compute_trace
from crossframe.harness.worker.probes import EPOCH, Probe, trace
from crossframe.tasks.spec import Arrays

AGREEMENT = 1e-3  # relative error below which a hypothesis is taken for the cause
TIME_LIMIT_S = 20.0
GATES = "ifgo"


@dataclass(frozen=True)
class Hypothesis:
    """A known mistake, as another probe, other weights or another dialect for the reference model."""

    meaning: str
    probe: Probe
    weights: Arrays
    dialect: Dialect


@dataclass(frozen=True)
class FailedCheck:
    """A failed check with the traces of its probe."""

    check: Check
    probe: Probe
    traces: Arrays  # of the backend
    expected: Arrays  # of the reference model
    dialect: Dialect

    def agrees_with(self, trace: Arrays) -> bool:
        """Return whether a trace explains the backend's values where the check failed, better than the expected one."""
        if self.check.kind in ("outputs", "loss"):
            key = f"outputs/{self.check.updates}"
            return output_error(self.traces[key], trace[key]) < min(AGREEMENT, self.check.error / 3)
        keys = [key for key in self.expected if key.startswith(f"weights/{self.check.updates}/")]
        distance = sum(float(np.linalg.norm(self.traces[key] - trace[key])) for key in keys)
        return distance < 0.05 * sum(float(np.linalg.norm(self.traces[key] - self.expected[key])) for key in keys)


class ForgetfulModel(reference.Model):
    """The reference model with a part of its optimizer's state lost after every update: one slot, or all."""

    lost_slot: str | None = None  # None: all slots, and the number of updates

    def update(self, gradients: Arrays) -> None:
        """Do one update and lose the state."""
        super().update(gradients)
        for slots in self.state.values():
            if self.lost_slot is None:
                slots.clear()
                self.updates = 0
            else:
                slots.pop(self.lost_slot)


def find_hint(reference_traces: ReferenceTraces, check: Check, traces: Arrays, dialect: Dialect) -> str | None:
    """Return the known mistake that has the shape of a failed check; None if there is none.

    `traces` are those of all probes: `<probe>/<key>` -> array.
    """
    if check.kind in ("round trip", "repeats", "barrier"):
        return None
    probe = next(probe for probe in reference_traces.probe_set.probes if probe.name == check.probe)
    prefix = f"{probe.name}/"
    probe_traces = {key.removeprefix(prefix): value for key, value in traces.items() if key.startswith(prefix)}
    failure = FailedCheck(check, probe, probe_traces, reference_traces.trace(probe, dialect), dialect)
    # Gradients that are not clipped differ by a common factor too.
    if check.kind in ("gradient", "weights") and probe.task.clip_norm is None:
        factor = describe_common_factor(failure, reference_traces.weights)
        if factor:
            return factor
    deadline = time.monotonic() + TIME_LIMIT_S
    for hypothesis in list_hypotheses(probe, reference_traces.weights, dialect):
        if time.monotonic() > deadline:
            return None
        weights, batches = hypothesis.weights, reference_traces.batches
        if failure.agrees_with(compute_trace(hypothesis.probe, weights, batches, hypothesis.dialect)):
            return hypothesis.meaning
    return describe_lost_state(failure, reference_traces) if check.kind == "weights" else None


def describe_lost_state(failure: FailedCheck, reference_traces: ReferenceTraces) -> str | None:
    """Return which part of the optimizer's state is wrong; None if the failure does not begin there."""
    probe, weights, dialect = failure.probe, reference_traces.weights, failure.dialect
    model = reference.prepare(probe.task, weights, "cpu", dialect=dialect)
    model.update({name: np.ones(shape) for name, shape in probe.task.parameters().items()})  # makes the slots
    slots = list(next(iter(model.state.values())))
    if not slots:
        return None
    for slot in [*slots, None]:
        forgetful = ForgetfulModel(probe.task, weights, np.dtype("float64"), dialect)
        forgetful.lost_slot = slot
        if failure.agrees_with(trace(probe, forgetful, reference_traces.batches)):
            return f"the optimizer forgets {f'its {slot}' if slot else 'its whole state'} between updates"
    if probe.name == EPOCH or failure.check.updates < 2:
        return None
    return f"gradients and earlier updates agree; the state of the optimizer differs ({' or '.join(slots)})"


def describe_common_factor(failure: FailedCheck, start: Arrays) -> str | None:
    """Return a hint if all steps, or those of the recurrent biases only, are the expected ones times one factor."""
    prefix = f"weights/{failure.check.updates}/"
    factors = {}
    for name in (key.removeprefix(prefix) for key in failure.expected if key.startswith(prefix)):
        expected, step = (
            trace[prefix + name].astype(np.float64) - start[name] for trace in (failure.expected, failure.traces)
        )
        if not expected.any():
            continue
        factor = float((expected * step).sum() / (expected * expected).sum())
        if np.linalg.norm(step - factor * expected) > 20 * AGREEMENT * np.linalg.norm(step):
            return None
        factors[name] = factor
    deviating = {name for name, factor in factors.items() if abs(factor - 1) > AGREEMENT}
    biases = {name for name in factors if name.startswith("lstm") and name.endswith(".b")}
    if deviating and deviating == biases and all(abs(factors[name] - 2) < 0.01 for name in deviating):
        return "the recurrent biases move twice as far: a second bias is trained"
    values = list(factors.values())
    if deviating == factors.keys() and max(values) - min(values) < AGREEMENT * abs(values[0]) * 10:
        factor = float(np.median(values))
        return f"every step is {factor:.4g} times the expected one: the loss or the learning rate is scaled"
    return None


def list_hypotheses(probe: Probe, weights: Arrays, dialect: Dialect) -> Iterator[Hypothesis]:
    """Yield every known mistake that is possible in a probe."""
    weights = {name: weights[name] for name in probe.task.parameters()}
    for name, values in DIALECTS.items():
        for value in values:
            if dialect.get(name, values[0]) != value:
                meaning = f"it computes the dialect {name} = {value}, which it does not declare"
                yield Hypothesis(meaning, probe, weights, {**dialect, name: value})
    yield from list_training_hypotheses(probe, weights, dialect)
    yield from list_layout_hypotheses(probe, weights, dialect)


def list_training_hypotheses(probe: Probe, weights: Arrays, dialect: Dialect) -> Iterator[Hypothesis]:
    """Yield mistakes in the optimizer and around it."""
    task = probe.task
    settings: Any = task.optimizer
    for name in ("epsilon", "momentum"):
        for factor in (0.1, 10.0):
            value = getattr(settings, name, 0.0)
            if value:
                changed = replace(task, optimizer=replace(settings, **{name: value * factor}))
                meaning = f"its {name} is {factor:g} times that of the spec"
                yield Hypothesis(meaning, replace(probe, task=changed), weights, dialect)
    if settings.weight_decay:
        changed = replace(task, optimizer=replace(settings, weight_decay=0.0))
        yield Hypothesis("weight decay is left out", replace(probe, task=changed), weights, dialect)
    if task.clip_norm is not None:
        changed = replace(task, clip_norm=None)
        yield Hypothesis("clipping is left out", replace(probe, task=changed), weights, dialect)
    if task.schedule is not None:
        changed = replace(task, schedule=None)
        yield Hypothesis("the schedule is left out", replace(probe, task=changed), weights, dialect)


def list_layout_hypotheses(probe: Probe, weights: Arrays, dialect: Dialect) -> Iterator[Hypothesis]:
    """Yield mistakes in the layout of weights: kernels of convolutions, and gates of LSTMs."""
    for name, kernel in weights.items():
        if name.startswith("conv") and name.endswith(".w"):
            transposed, flipped = kernel.swapaxes(2, 3), kernel[:, :, ::-1, ::-1]
            yield Hypothesis(f"the kernel of {name} is transposed", probe, {**weights, name: transposed}, dialect)
            yield Hypothesis(f"the kernel of {name} is flipped", probe, {**weights, name: flipped}, dialect)
    for layer in dict.fromkeys(name.partition(".")[0] for name in weights if name.startswith("lstm")):
        for order in permutations(range(4)):
            if order == (0, 1, 2, 3):
                continue
            mixed = {
                name: reorder_gates(value, order) if name.startswith(f"{layer}.") else value
                for name, value in weights.items()
            }
            gates = " ".join(GATES[index] for index in order)
            yield Hypothesis(f"the gates of {layer} are in the order {gates}", probe, mixed, dialect)


def reorder_gates(value: np.ndarray, order: tuple[int, ...]) -> np.ndarray:
    """Return a parameter of an LSTM, (..., 4 units), with its gates in another order."""
    parts = np.split(value, 4, axis=-1)
    return np.concatenate([parts[index] for index in order], axis=-1)
