"""Checks of a backend's traces against those of the reference model, each with a relative error and a tolerance.

The error of outputs is the largest difference, relative to the largest output. The error of a loss is relative to the
loss. The error of weights is the norm of the difference, relative to the furthest that the parameter has been from its
start, so that a wrong small step shows as clearly as a wrong large one.

A check fails if its error exceeds the tolerance AND `ROUNDING_FACTOR` times the cost of rounding. The cost of rounding
is the same error of the reference model in the precision of the cell: in float32 with near ties decided the other way
(`near_ties`), below that with the rounding of TF32 or mixed precision (`low_precision`). The tolerance alone would fail
a backend for what training makes of rounding; the factor alone would fail it for a sum in another order where the
reference model happens to round well. As the cost of rounding takes long to compute, it is computed only where an error
exceeds its tolerance.

In TF32, bfloat16 and float16 a mistake smaller than the rounding cannot be seen (tests/frameworks/test_precision.py
lists those that can). For an epsilon or a rate that is slightly wrong, verify float32 too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np

from crossframe.harness.parity.tolerances import (
    ROUNDING_FACTOR,
    UNIT_ROUNDOFF,
    hides_mistakes,
    repeat_tolerance,
    tolerances_for,
)
from crossframe.harness.worker import quality
from crossframe.harness.worker.barrier import BARRIER
from crossframe.harness.worker.probes import EPOCH, Probe, name_resumed
from crossframe.tasks.spec import Arrays, Task

LARGEST_ERROR = 1e308  # in place of infinity, which JSON lacks

RoundingPairs = tuple[tuple[Arrays, Arrays], ...]


@dataclass(frozen=True)
class Check:
    """One comparison of one probe."""

    probe: str
    kind: str  # outputs, loss, gradient, weights, round trip, repeats, barrier
    updates: int  # before the comparison
    parameter: str | None  # with the largest error
    error: float
    rounding: float | None  # the cost of rounding; None if it was not needed, or is not known
    tolerance: float
    passed: bool

    @property
    def name(self) -> str:
        """The probe and the kind of check."""
        return self.probe if self.probe.startswith(self.kind) else f"{self.probe}: {self.kind}"

    @property
    def allowed(self) -> float:
        """The largest error that passes, as far as the cost of rounding was computed."""
        return max(self.tolerance, ROUNDING_FACTOR * (self.rounding or 0.0))


@dataclass(frozen=True)
class ExpectedTraces:
    """What the reference model computes for a probe, and what rounding may change in it."""

    probe: Probe
    precision: str
    exact: Arrays  # float64, in the dialect of the backend
    rounding: Callable[[], RoundingPairs]  # computes (trace in the precision, exact trace), in several ways or none
    weights: Arrays  # initial
    batches: Arrays


def output_error(outputs: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest difference, relative to the largest expected output."""
    if outputs.shape != expected.shape:
        return float("inf")
    return float(np.abs(outputs - expected).max() / max(float(np.abs(expected).max()), np.finfo(np.float64).tiny))


def loss_error(task: Task, outputs: np.ndarray, expected: np.ndarray, y: np.ndarray) -> float:
    """Return the difference of two losses, relative to the expected one; `outputs` and `expected` are (n, ...)."""
    loss = quality.mean_loss(task.loss, expected, y)
    return abs(quality.mean_loss(task.loss, outputs, y) - loss) / abs(loss)


def weight_errors(traces: Arrays, expected: Arrays, start: Arrays, updates: int) -> dict[str, float]:
    """Return the error of each parameter after so many updates, relative to the furthest expected distance from start.

    The present distance would not do: a lone bias may return to its start, where any difference is infinitely large.
    """
    errors = {}
    prefix = f"weights/{updates}/"
    for key in (key for key in expected if key.startswith(prefix)):
        name = key.removeprefix(prefix)
        if traces[key].shape != expected[key].shape or np.isnan(traces[key]).any():
            errors[name] = float("inf")  # not NaN, which compares as neither larger nor smaller
            continue
        difference = float(np.linalg.norm(traces[key].astype(np.float64) - expected[key]))
        steps = [step for step in range(updates + 1) if f"weights/{step}/{name}" in expected]
        distance = max(float(np.linalg.norm(expected[f"weights/{step}/{name}"] - start[name])) for step in steps)
        # A parameter that the reference model does not move must not move.
        errors[name] = difference / distance if distance else (0.0 if difference == 0 else float("inf"))
    return errors


def largest_weight_error(traces: Arrays, expected: Arrays, start: Arrays, updates: int) -> float:
    """Return the error of the parameter with the largest one; see `weight_errors`."""
    return max(weight_errors(traces, expected, start, updates).values())


class MeasuredError(NamedTuple):
    """An error, and the parameter that has it."""

    error: float
    parameter: str | None = None


def no_cost() -> float | None:
    """Return that the cost of rounding is unknown."""
    return None


class RoundingCost:
    """The cost of rounding so far in a probe, by kind of check.

    It never falls: where two losses cross, they agree by chance, and only for a moment.
    """

    def __init__(self, expected: ExpectedTraces) -> None:
        self._expected = expected
        self._waiting: dict[str, list[Callable[[Arrays, Arrays], float]]] = {}
        self._costs: dict[str, float] = {}

    def add(self, kind: str, measure: Callable[[Arrays, Arrays], float]) -> Callable[[], float | None]:
        """Add an error of the reference model, `measure(trace, exact trace)`; return a function that gives the cost.

        The function counts the errors that were added until it is called. None if there is none.
        """
        self._waiting.setdefault(kind, []).append(measure)
        return partial(self._compute, kind)

    def _compute(self, kind: str) -> float | None:
        for measure in self._waiting.pop(kind, []):
            errors = [measure(*pair) for pair in self._expected.rounding()]
            if errors and np.isfinite(errors).all():  # an overflow of the reference model excuses nothing
                self._costs[kind] = max(*errors, self._costs.get(kind, 0.0))
        return self._costs.get(kind)


def compare_traces(traces: Arrays, expected: ExpectedTraces) -> Iterator[Check]:
    """Yield the checks of one probe, in the order of its updates."""
    probe, costs = expected.probe, RoundingCost(expected)
    yield from compare_looks(traces, expected, costs)
    for name in probe.inputs:
        yield compare_outputs(traces, expected, f"outputs/{name}", 0, costs)
    if 0 in probe.weights_after:
        yield check_round_trip(traces, expected)


def compare_looks(traces: Arrays, expected: ExpectedTraces, costs: RoundingCost, begin: int = 0) -> Iterator[Check]:
    """Yield the checks of outputs and weights at each look of a probe that comes after `begin` updates, or then."""
    probe, exact = expected.probe, expected.exact
    for updates in sorted({0, *probe.weights_after}):
        if f"outputs/{updates}" in exact:
            keys = [key for key in (f"outputs/{updates}", f"same/{updates}") if key in exact]
            compared = [compare_outputs(traces, expected, key, updates, costs) for key in keys]
            if not probe.name.startswith("forward "):  # a prefix of the network has no loss
                compared.append(compare_loss(traces, expected, updates, costs))
            yield from compared if updates >= begin else ()
        if updates in probe.weights_after and updates > 0:
            cost = costs.add("weights", partial(largest_weight_error, start=expected.weights, updates=updates))
            if updates < begin:
                continue
            errors = weight_errors(traces, exact, expected.weights, updates)
            worst = max(errors, key=lambda name: errors[name])
            kind = "gradient" if probe.name == "gradient" else "weights"
            yield judge_error(expected, kind, updates, MeasuredError(errors[worst], worst), cost)


def compare_resumed(traces: Arrays, singly: Arrays, expected: ExpectedTraces) -> Iterator[Check]:
    """Yield the checks of the training from a checkpoint, in the calls of the probe and in single steps.

    It must go on as if it had not stopped, so the traces are those that are expected without a stop.
    """
    begin = expected.probe.saved_after
    assert begin is not None
    for each, name in ((traces, name_resumed(expected.probe)), (singly, name_resumed(expected.probe, single=True))):
        present = {key for key in expected.exact if key.startswith("weights/") and int(key.split("/")[1]) > begin}
        present |= {key for key in expected.exact if each is traces and key.startswith(f"weights/{begin}/")}
        if not present <= each.keys():
            yield Check(name, "weights", begin, None, float("inf"), None, 0, passed=False)
            continue
        for check in compare_looks(each, expected, RoundingCost(expected), begin if each is traces else begin + 1):
            yield replace(check, probe=name)


def compare_outputs(traces: Arrays, expected: ExpectedTraces, key: str, updates: int, costs: RoundingCost) -> Check:
    """Return the check of outputs after so many updates; `key` is that of the trace."""
    cost = costs.add("outputs", lambda low, exact: output_error(low[key], exact[key]))
    error = output_error(traces[key], expected.exact[key]) if key in traces else float("inf")
    return judge_error(expected, "outputs", updates, MeasuredError(error), cost)


def compare_loss(traces: Arrays, expected: ExpectedTraces, updates: int, costs: RoundingCost) -> Check:
    """Return the check of the loss for the batch whose outputs are recorded after so many updates."""
    probe, key = expected.probe, f"outputs/{updates}"
    y = expected.batches[f"{probe.output_batch(updates)}/y"]
    cost = costs.add("loss", lambda low, exact: loss_error(probe.task, low[key], exact[key], y))
    error = loss_error(probe.task, traces[key], expected.exact[key], y) if key in traces else float("inf")
    return judge_error(expected, "loss", updates, MeasuredError(error), cost)


def judge_error(
    expected: ExpectedTraces,
    kind: str,
    updates: int,
    measured: MeasuredError,
    rounding_cost: Callable[[], float | None] = no_cost,
) -> Check:
    """Return the check of an error after so many updates; `rounding_cost` is called if it exceeds the tolerance."""
    error, parameter = measured
    tolerance = tolerances_for(expected.probe, expected.precision, updates)[kind]
    passed, cost = bool(error <= tolerance), None  # NaN is not
    if not passed and np.isfinite(error):
        cost = rounding_cost()
        passed = cost is not None and error <= ROUNDING_FACTOR * max(cost, UNIT_ROUNDOFF[expected.precision])
        passed = passed and not hides_mistakes(expected.probe.task, expected.precision, cost or 0.0)
    return Check(expected.probe.name, kind, updates, parameter, error, cost, tolerance, passed)


def check_round_trip(traces: Arrays, expected: ExpectedTraces) -> Check:
    """Check that the initial weights come back from the backend to the last bit."""
    stored = "float64" if expected.precision == "float64" else "float32"
    changed = [
        name
        for name, value in expected.weights.items()
        if not np.array_equal(traces.get(f"weights/0/{name}", np.empty(0)), value.astype(stored))
    ]
    parameter = changed[0] if changed else None
    return Check(expected.probe.name, "round trip", 0, parameter, float(len(changed)), None, 0, not changed)


def check_repeats(first: Arrays, second: Arrays, expected: ExpectedTraces, device: str) -> Check:
    """Check that two runs from the same start agree: on a CPU to the last bit, on a GPU up to the order of sums."""
    probe = expected.probe
    if device == "cpu":
        same = first.keys() == second.keys() and all(np.array_equal(first[key], second[key]) for key in first)
        return Check(probe.name, "repeats", 0, None, float(not same), None, 0, same)
    last = max(probe.weights_after)
    errors = weight_errors(second, first, expected.weights, last)
    worst = max(errors, key=lambda name: errors[name])
    costs = [largest_weight_error(*pair, expected.weights, last) for pair in expected.rounding()]
    cost = max(costs, default=None)
    tolerance = repeat_tolerance(expected.precision, cost)
    return Check(probe.name, "repeats", last, worst, errors[worst], cost, tolerance, errors[worst] <= tolerance)


def check_barrier(unfinished: float) -> Check:
    """Check that `sync` waits for the device; `unfinished` is the share of an epoch's work that is left after it."""
    return Check(EPOCH, "barrier", 0, None, unfinished, None, BARRIER, unfinished <= BARRIER)


def first_failure(checks: Sequence[Check]) -> Check | None:
    """Return the first check that failed: since probes begin with single layers, it shows where the error is."""
    return next((check for check in checks if not check.passed), None)


def describe_check(check: Check) -> str:
    """Return one line about a failed check: the probe, the parameter and the error."""
    parameter = f" in {check.parameter}" if check.parameter else ""
    if check.kind == "round trip":
        return f"weights are not returned as they were given{parameter}"
    if check.kind == "barrier":
        return f"after sync, {check.error:.0%} of the work of an epoch is still to be done: sync is no barrier"
    if check.kind == "repeats":
        error = f"{parameter} by {check.error:.1e} (tolerance {check.tolerance:.0e})" if parameter else ""
        return f"{check.probe}: two runs from the same start differ{error}"
    updates = f" after {check.updates} update{'s' * (check.updates != 1)}" if check.updates else ""
    rounding = "" if check.rounding is None else f", rounding may cost {check.rounding:.1e}"
    if check.error <= ROUNDING_FACTOR * (check.rounding or 0.0):
        rounding += ": too much to tell it from a mistake; verify the network in float64"
    return f"{check.name}{updates}{parameter} is off by {check.error:.1e} (tolerance {check.tolerance:.0e}{rounding})"


def select_worst(checks: Sequence[Check]) -> list[Check]:
    """Return the worst check of each probe and kind, with a finite error, for storage as JSON."""
    worst: dict[tuple[str, str], Check] = {}
    for check in checks:
        key = (check.probe, check.kind)
        if key not in worst or (check.passed, -check.error) < (worst[key].passed, -worst[key].error):
            worst[key] = check
    return [check if np.isfinite(check.error) else replace(check, error=LARGEST_ERROR) for check in worst.values()]
