"""Hints: the name of a known mistake, where a failed check has the shape of one.

Each hypothesis is the reference model with that mistake made on purpose. If its trace agrees with that of the backend,
it is the likely cause.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import permutations
from typing import Any

import numpy as np

import crossframe.backends.reference.model as reference
from crossframe.backends.contract import DIALECTS, Dialect
from crossframe.harness.parity.checkpoint_hints import describe_bad_checkpoint
from crossframe.harness.parity.checks import Check, output_error
from crossframe.harness.parity.layer_mistakes import LAYER_MISTAKES
from crossframe.harness.parity.reference_traces import ReferenceTraces, compute_trace
from crossframe.harness.worker.probes import ChangeCall, Probe, name_resumed, trace
from crossframe.tasks.spec import Arrays, map_leaves

AGREEMENT = 1e-3  # relative error below which a hypothesis is taken for the cause
UNEXPLAINED, CLEARLY = 0.05, 1e-3  # shares of a difference: the largest of a cause, and one that needs no better cause
NEGLIGIBLE = 1e-6  # difference of weights, relative to them, that rounding explains
TIME_LIMIT_S = 20.0
GATES = "ifgo"
# Mistakes in the batches of a call: what happens -> the names of the batches that are trained.
CALL_MISTAKES: dict[str, ChangeCall] = {
    "the batches are in reverse order": lambda names: names[::-1],
    "neighbouring batches are swapped": lambda names: (
        [name for pair in zip(names[1::2], names[::2]) for name in pair] + list(names[len(names) // 2 * 2 :])
    ),
    "the first batch is skipped": lambda names: names[1:] or names,
    "the last batch is lost": lambda names: names[:-1] or names,
    "only the last batch is used": lambda names: names[-1:],
    "only the last batch is used, each time": lambda names: list(names[-1:]) * len(names),
    "only the first batch is used": lambda names: names[:1],
    "the first batch is used each time": lambda names: list(names[:1]) * len(names),
    "the first batch is trained twice": lambda names: [*names[:1], *names],
    "the last batch is trained twice": lambda names: [*names, *names[-1:]],
    "every second batch is skipped": lambda names: names[::2],
    "a batch that comes again is skipped": lambda names: list(dict.fromkeys(names)),
    "the first batches are moved to the end": lambda names: [*names[len(names) // 2 :], *names[: len(names) // 2]],
}


@dataclass(frozen=True)
class Hypothesis:
    """A known mistake, as another probe, other weights or another dialect for the reference model."""

    meaning: str
    probe: Probe
    weights: Arrays
    dialect: Dialect
    change_call: ChangeCall | None = None


@dataclass(frozen=True)
class FailedCheck:
    """A failed check with the traces of its probe."""

    check: Check
    probe: Probe
    traces: Arrays  # of the backend
    expected: Arrays  # of the reference model
    dialect: Dialect

    def agrees_with(self, trace: Arrays) -> bool:
        """Return whether a trace explains the backend's values."""
        return self.unexplained(trace) < np.inf

    def unexplained(self, trace: Arrays) -> float:
        """Return the share of the failure that a trace does not explain; infinity if it is no explanation.

        The outputs are compared where the check failed. A mistake in training must also explain every record of the
        weights.
        """
        share = 0.0
        if self.check.kind in ("outputs", "loss"):
            key = f"outputs/{self.check.updates}"
            if key in trace:
                error = output_error(self.traces[key], trace[key])
                if error >= min(AGREEMENT, self.check.error / 3):
                    return np.inf
                share = error / self.check.error
            if self.check.updates == 0:
                return share if key in trace else np.inf
        looks = [updates for updates in self.probe.weights_after if f"weights/{updates}/" in self.prefixes]
        return max((share, *(self._unexplained_weights(trace, updates) for updates in looks))) if looks else np.inf

    @cached_property
    def prefixes(self) -> set[str]:
        """The beginnings of the keys of the weights that the backend left."""
        return {key[: key.index("/", len("weights/")) + 1] for key in self.traces if key.startswith("weights/")}

    def _unexplained_weights(self, trace: Arrays, updates: int) -> float:
        keys = [key for key in self.expected if key.startswith(f"weights/{updates}/")]
        start = {key: self.expected.get(key.replace(f"/{updates}/", "/0/")) for key in keys}
        distance = sum(float(np.linalg.norm(self.traces[key] - trace[key])) for key in keys)
        difference = sum(float(np.linalg.norm(self.traces[key] - self.expected[key])) for key in keys)
        scale = sum(float(np.linalg.norm(self.traces[key])) for key in keys if start[key] is None) or difference
        if distance <= NEGLIGIBLE * scale:
            return 0.0
        return distance / difference if distance <= UNEXPLAINED * difference else np.inf


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
    for probe in reference_traces.probe_set.probes:
        if check.probe in (name_resumed(probe), name_resumed(probe, single=True)):
            return describe_bad_checkpoint(reference_traces, probe, check, traces, dialect)
    probe = next(probe for probe in reference_traces.probe_set.probes if probe.name == check.probe)
    prefix = f"{probe.name}/"
    probe_traces = {key.removeprefix(prefix): value for key, value in traces.items() if key.startswith(prefix)}
    failure = FailedCheck(check, probe, probe_traces, reference_traces.trace(probe, dialect), dialect)
    weights, batches = reference_traces.start(probe), reference_traces.batches
    meaning = find_best_hypothesis(failure, list_hypotheses(probe, weights, dialect), batches)
    if meaning:
        return meaning
    if check.kind == "outputs" or check.kind == "loss":
        return None
    return describe_common_factor(failure, weights, batches) or describe_lost_state(failure, reference_traces)


def find_best_hypothesis(failure: FailedCheck, hypotheses: Iterator[Hypothesis], batches: Arrays) -> str | None:
    """Return the meaning of the hypothesis that explains most of a failure; None if none does, or time runs out."""
    deadline = time.monotonic() + TIME_LIMIT_S
    best, meaning = np.inf, None
    for hypothesis in hypotheses:
        arguments = hypothesis.weights, batches, hypothesis.dialect
        share = failure.unexplained(compute_trace(hypothesis.probe, *arguments, change_call=hypothesis.change_call))
        if share < best:
            best, meaning = share, hypothesis.meaning
        if best < CLEARLY:
            break
        if time.monotonic() > deadline:
            return None
    return meaning


def describe_lost_state(failure: FailedCheck, reference_traces: ReferenceTraces) -> str | None:
    """Return which part of the optimizer's state is wrong; None if the failure does not begin there."""
    probe, weights, dialect = failure.probe, reference_traces.start(failure.probe), failure.dialect
    settings: Any = probe.task.optimizer
    model = reference.prepare(probe.task, weights, "cpu", dialect=dialect)
    model.update({name: np.ones(shape) for name, shape in probe.task.parameters().items()})  # makes the slots
    slots = list(next(iter(model.state.values())))
    if not slots or getattr(settings, "momentum", 1.0) == 0:
        return None  # plain SGD has no state
    for slot in [*slots, None]:
        forgetful = ForgetfulModel(probe.task, weights, np.dtype("float64"), dialect)
        forgetful.lost_slot = slot
        if failure.agrees_with(trace(probe, forgetful, reference_traces.batches)):
            return f"the optimizer forgets {f'its {slot}' if slot else 'its whole state'} between updates"
    return None


def describe_common_factor(failure: FailedCheck, start: Arrays, batches: Arrays) -> str | None:
    """Return a hint if all steps, or those of the recurrent biases only, are the expected ones times one factor.

    Where several updates follow one another, a training at a rate times that factor must agree with all of them.
    """
    first = min(updates for updates in failure.probe.weights_after if updates)
    prefix = f"weights/{first}/"
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
    biases = {name for name in factors if ".lstm" in f".{name}" and name.endswith(".b")}
    if deviating and deviating == biases and all(abs(factors[name] - 2) < 0.01 for name in deviating):
        return "the recurrent biases move twice as far: a second bias is trained"
    values = list(factors.values())
    if deviating != factors.keys() or max(values) - min(values) >= AGREEMENT * abs(values[0]) * 10:
        return None
    factor, task = float(np.median(values)), failure.probe.task
    changed: Any = replace(task.optimizer, rate=task.optimizer.rate * factor)  # type: ignore[arg-type]
    scaled = replace(failure.probe, task=replace(task, optimizer=changed))
    if not failure.agrees_with(compute_trace(scaled, start, batches, failure.dialect)):
        return None
    return f"every step is {factor:.4g} times the expected one: the loss or the learning rate is scaled"


def list_hypotheses(probe: Probe, weights: Arrays, dialect: Dialect) -> Iterator[Hypothesis]:
    """Yield every known mistake that is possible in a probe."""
    weights = {name: weights[name] for name in probe.task.arrays()}
    for name, values in DIALECTS.items():
        for value in values:
            if dialect.get(name, values[0]) != value:
                meaning = f"it computes the dialect {name} = {value}, which it does not declare"
                yield Hypothesis(meaning, probe, weights, {**dialect, name: value})
    if max(probe.weights_after, default=0):
        yield from list_training_hypotheses(probe, weights, dialect)
        for meaning, change_call in CALL_MISTAKES.items():
            if any(list(change_call(names)) != list(names) for _, names in probe.calls()):
                yield Hypothesis(f"in a call of `train` {meaning}", probe, weights, dialect, change_call)
    yield from list_layout_hypotheses(probe, weights, dialect)
    for meaning, change in LAYER_MISTAKES.items():
        layers = map_leaves(probe.task.layers, change)
        if layers != probe.task.layers:
            yield Hypothesis(meaning, replace(probe, task=replace(probe.task, layers=layers)), weights, dialect)


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
    if getattr(settings, "momentum", 0.0):
        names = ("Polyak", "Nesterov")
        meaning = f"its momentum is {names[not settings.nesterov]}'s, not {names[settings.nesterov]}'s"
        changed = replace(task, optimizer=replace(settings, nesterov=not settings.nesterov))
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
        if ".conv" in f".{name}" and name.endswith(".w"):
            transposed, flipped = kernel.swapaxes(2, 3), kernel[:, :, ::-1, ::-1]
            yield Hypothesis(f"the kernel of {name} is transposed", probe, {**weights, name: transposed}, dialect)
            yield Hypothesis(f"the kernel of {name} is flipped", probe, {**weights, name: flipped}, dialect)
    for layer in dict.fromkeys(name.rpartition(".")[0] for name in weights if ".lstm" in f".{name}"):
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
