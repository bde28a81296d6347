"""What an error looks like: where its shape is that of a known mistake, a hint says so.

Each hypothesis is the oracle with that mistake made on purpose. One that agrees with what the backend computed is the
likely cause; one that does not is silent.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np

import crossframe.backends.reference.model as reference
from crossframe.backends.contract import DIALECTS
from crossframe.harness.parity import checks as parity
from crossframe.harness.parity import reference_traces
from crossframe.harness.worker.probes import EPOCH, Probe, trace
from crossframe.tasks.spec import Arrays

if TYPE_CHECKING:
    from crossframe.harness.parity.reference_traces import Oracle

AGREES = 1e-3  # relative error below which a hypothesis is taken for the cause
PATIENCE_S = 20.0  # a hint is a courtesy
GATES = "ifgo"
Alternative = tuple[str, Probe, Arrays, dict[str, Any]]  # what it would mean, and what to run instead


class Forgetful(reference.Model):
    """The oracle with one slot of its optimizer's state, or all that it counts and keeps, lost after every update."""

    lost: str | None = None

    def update(self, gradients: Arrays) -> None:
        super().update(gradients)
        for slots in self.state.values():
            if self.lost is None:
                slots.clear()
                self.updates = 0
            else:
                slots.pop(self.lost)


def hint(oracle: Oracle, check: parity.Check, traces: Arrays, dialect: dict[str, Any]) -> str | None:
    """The known mistake that has the shape of a failed check, in words; None where none has."""
    probe = next(probe for probe in oracle.question.probes if probe.name == check.probe)
    if check.what in ("round trip", "repeats", "barrier"):
        return None
    prefix = f"{probe.name}/"
    seen = {name.removeprefix(prefix): value for name, value in traces.items() if name.startswith(prefix)}
    want = oracle.trace(probe, dialect)
    # Where gradients are clipped, to leave that out is a common factor too.
    if check.what in ("gradient", "weights") and probe.task.clip_norm is None:
        scaled = common_factor(seen, want, oracle.weights, check.updates)
        if scaled:
            return scaled
    give_up = time.monotonic() + PATIENCE_S
    for meaning, other, weights, words in alternatives(probe, oracle.weights, dialect):
        if time.monotonic() > give_up:
            return None
        guess = reference_traces.oracle_trace(other, weights, oracle.batches, words)
        if agrees(seen, guess, want, check):
            return meaning
    return state(probe, oracle, seen, want, check, dialect) if check.what == "weights" else None


def state(
    probe: Probe, oracle: Oracle, seen: Arrays, want: Arrays, check: parity.Check, dialect: dict[str, Any]
) -> str | None:
    """Which part of the optimizer's state parts, where what came before agrees: the gradient, and earlier updates."""
    stateful = reference.prepare(probe.task, oracle.weights, "cpu", dialect=dialect)
    stateful.update({name: np.ones(shape) for name, shape in probe.task.parameters().items()})
    slots = list(next(iter(stateful.state.values())))
    for lost in [*slots, None]:
        model = Forgetful(probe.task, oracle.weights, np.dtype("float64"), dialect)
        model.lost = lost
        if slots and agrees(seen, trace(probe, model, oracle.batches), want, check):
            return f"the optimizer forgets {f'its {lost}' if lost else 'all that it keeps'} between updates"
    if probe.name == EPOCH or check.updates < 2 or not slots:
        return None
    return f"gradients and earlier updates agree: what parts is the optimizer's state ({' or '.join(slots)})"


def moved(side: Arrays, weights: Arrays, updates: int, name: str) -> np.ndarray:
    return side[f"weights/{updates}/{name}"].astype(np.float64) - weights[name]


def common_factor(seen: Arrays, want: Arrays, weights: Arrays, updates: int) -> str | None:
    """Whether all steps, or those of the recurrent biases alone, are the oracle's times one number."""
    factors = {}
    for name in (key.split("/")[2] for key in want if key.startswith(f"weights/{updates}/")):
        ours, theirs = moved(want, weights, updates, name), moved(seen, weights, updates, name)
        if not ours.any():
            continue
        factor = float((ours * theirs).sum() / (ours * ours).sum())
        if np.linalg.norm(theirs - factor * ours) > 20 * AGREES * np.linalg.norm(theirs):
            return None
        factors[name] = factor
    odd = {name for name, factor in factors.items() if abs(factor - 1) > AGREES}
    biases = {name for name in factors if name.startswith("lstm") and name.endswith(".b")}
    if odd and odd == biases and all(abs(factors[name] - 2) < 0.01 for name in odd):
        return "the recurrent biases move twice as far: a second bias is trained"
    values = list(factors.values())
    if odd == factors.keys() and max(values) - min(values) < AGREES * abs(values[0]) * 10:
        return f"every step is {np.median(values):.4g} times the oracle's: the loss or the learning rate is scaled"
    return None


def agrees(seen: Arrays, guess: Arrays, want: Arrays, check: parity.Check) -> bool:
    """Whether a guess explains what was seen where the check failed, and better than the truth does."""
    if check.what in ("outputs", "loss"):
        key = f"outputs/{check.updates}"
        return parity.output_error(seen[key], guess[key]) < min(AGREES, check.error / 3)
    keys = [key for key in want if key.startswith(f"weights/{check.updates}/")]
    off = [float(np.linalg.norm(seen[key] - guess[key])) for key in keys]
    truth = [float(np.linalg.norm(seen[key] - want[key])) for key in keys]
    return sum(off) < 0.05 * sum(truth)


def alternatives(probe: Probe, weights: Arrays, dialect: dict[str, Any]) -> Iterator[Alternative]:
    """Every known mistake, as another probe, other weights or another dialect for the oracle."""
    task = probe.task
    own = {name: weights[name] for name in task.parameters()}
    for word, values in DIALECTS.items():
        for value in values:
            if dialect.get(word, values[0]) != value:
                yield f"it computes the dialect {word} = {value}, undeclared", probe, own, {**dialect, word: value}
    settings = task.optimizer
    for name in ("epsilon", "momentum"):
        for factor in (0.1, 10.0):
            if getattr(settings, name, 0.0):
                changed = replace(task, optimizer=replace(settings, **{name: getattr(settings, name) * factor}))
                yield f"its {name} is {factor:g} times the spec's", replace(probe, task=changed), own, dialect
    if settings.weight_decay:
        without = replace(task, optimizer=replace(settings, weight_decay=0.0))
        yield "weight decay is left out", replace(probe, task=without), own, dialect
    if task.clip_norm is not None:
        yield "clipping is left out", replace(probe, task=replace(task, clip_norm=None)), own, dialect
    if task.schedule is not None:
        yield "the schedule is left out", replace(probe, task=replace(task, schedule=None)), own, dialect
    for name, kernel in own.items():
        if name.startswith("conv") and name.endswith(".w"):
            yield f"the kernel of {name} is transposed", probe, {**own, name: kernel.swapaxes(2, 3)}, dialect
            yield f"the kernel of {name} is flipped", probe, {**own, name: kernel[:, :, ::-1, ::-1]}, dialect
    for layer in dict.fromkeys(name.partition(".")[0] for name in own if name.startswith("lstm")):
        for order in permutations(range(4)):
            if order != (0, 1, 2, 3):
                mixed = {
                    name: gates(value, order) if name.startswith(f"{layer}.") else value for name, value in own.items()
                }
                said = " ".join(GATES[place] for place in order)
                yield f"the gates of {layer} stand in the order {said}", probe, mixed, dialect


def gates(value: np.ndarray, order: tuple[int, ...]) -> np.ndarray:
    parts = np.split(value, 4, axis=-1)
    return np.concatenate([parts[place] for place in order], axis=-1)
