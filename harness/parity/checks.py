"""Is a backend's network the same computation as the spec's? Its traces beside the oracle's, check by check.

The error of a check is relative: of outputs, the largest difference by the largest output; of a loss, the difference
by the loss; of weights, the length of the difference by the furthest that the parameter has been from its start, so
that a small step taken wrongly shows as clearly as a large one.

A check fails if its error is above the plain limit AND above `ROUNDING_FACTOR` times what its precision may cost: the
same error of the oracle run in float32, near ties decided the other way (`contrary`), or rounded where TF32 and mixed
precision round (`rounded`). The limit alone would blame a backend for what training does to rounding; the factor alone
for a sum in another order where the oracle rounded well.

In TF32, bfloat16 and float16 mistakes that are smaller than the rounding cannot be seen (`tests/test_precision.py` says
which can). For those, an epsilon or a rate that is slightly off, the proof in float32 has to be asked for beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from crossframe.harness.parity.tolerances import ROUNDING_FACTOR, SMALLEST, limits, repeats_limit
from crossframe.harness.plan.plan import Cell
from crossframe.harness.worker import quality
from crossframe.harness.worker.probes import EPOCH, Probe
from crossframe.tasks.spec import Arrays, Task


@dataclass(frozen=True)
class Check:
    """One comparison: what, after how many updates, how far off, beside what rounding alone costs and the limit."""

    probe: str
    what: str  # outputs, loss, gradient, weights, round trip, repeats, barrier
    updates: int
    parameter: str | None  # the one that is furthest off
    error: float
    rounding: float | None  # None where there is no oracle in a lower precision to tell
    limit: float
    passed: bool

    @property
    def name(self) -> str:
        return self.probe if self.probe.startswith(self.what) else f"{self.probe}: {self.what}"


def output_error(got: np.ndarray, want: np.ndarray) -> float:
    if got.shape != want.shape:
        return float("inf")
    return float(np.abs(got - want).max() / max(float(np.abs(want).max()), np.finfo(np.float64).tiny))


def loss_error(task: Task, got: np.ndarray, want: np.ndarray, y: np.ndarray) -> float:
    loss = quality.mean_loss(task.loss, want, y)
    return abs(quality.mean_loss(task.loss, got, y) - loss) / abs(loss)


def weight_errors(seen: Arrays, want: Arrays, start: Arrays, updates: int) -> dict[str, float]:
    """Parameter -> distance from the oracle's, by the furthest that the oracle's has been from `start`.

    Not by where it is now: a lone bias may come back to where it started, and nothing is small beside nothing.
    """
    errors = {}
    prefix = f"weights/{updates}/"
    for key in (key for key in want if key.startswith(prefix)):
        name = key.removeprefix(prefix)
        if seen[key].shape != want[key].shape or np.isnan(seen[key]).any():
            errors[name] = float("inf")  # and no NaN, which is neither more nor less than the others
            continue
        off = float(np.linalg.norm(seen[key].astype(np.float64) - want[key]))
        looks = [at for at in range(updates + 1) if f"weights/{at}/{name}" in want]
        gone = max(float(np.linalg.norm(want[f"weights/{at}/{name}"] - start[name])) for at in looks)
        # A parameter that the oracle leaves in place must stay in place.
        errors[name] = off / gone if gone else (0.0 if off == 0 else float("inf"))
    return errors


def compare(
    probe: Probe,
    seen: Arrays,
    want: Arrays,
    scale: tuple[Arrays, ...] | None,
    weights: Arrays,
    batches: Arrays,
    precision: str,
) -> Iterator[Check]:
    """The checks of one probe, in the order of its updates.

    `scale`: the oracle in the precision, in one way or several, and, last, in float64.
    """
    floor = SMALLEST[precision]
    pairs = [(low, scale[-1]) for low in scale[:-1]] if scale else []
    so_far: dict[str, float] = {}

    def cost(what: str, errors: list[float]) -> float | None:
        """What the precision has cost by now: where two losses cross, they agree by luck, and only for a moment."""
        if np.isfinite(errors).all() and errors:  # an oracle that overflows excuses nothing
            so_far[what] = max(*errors, so_far.get(what, 0.0))
        return so_far.get(what)

    def check(what: str, updates: int, error: float, rounding: float | None, parameter: str | None = None) -> Check:
        limit = limits(probe, precision, updates)[what]
        above = error > limit and (rounding is None or error > ROUNDING_FACTOR * max(rounding, floor))
        # `not above` would let a NaN pass.
        passed = bool(np.isfinite(error)) and not above
        return Check(probe.name, what, updates, parameter, error, rounding, limit, passed)

    for updates in range(len(probe.batches) + 1):
        key = f"outputs/{updates}"
        if key in want:
            rounding = cost("outputs", [output_error(low[key], full[key]) for low, full in pairs])
            yield check("outputs", updates, output_error(seen[key], want[key]), rounding)
            if not probe.name.startswith("forward "):
                y = batches[f"{probe.batches[updates]}/y"]
                rounding = cost("loss", [loss_error(probe.task, low[key], full[key], y) for low, full in pairs])
                yield check("loss", updates, loss_error(probe.task, seen[key], want[key], y), rounding)
        if updates in probe.weights_after and updates > 0:
            errors = weight_errors(seen, want, weights, updates)
            worst = max(errors, key=lambda name: errors[name])
            rounding = cost("weights", [max(weight_errors(*pair, weights, updates).values()) for pair in pairs])
            what = "gradient" if probe.name == "gradient" else "weights"
            yield check(what, updates, errors[worst], rounding, worst)
    if 0 in probe.weights_after:
        yield round_trip(probe, seen, weights, precision)


def round_trip(probe: Probe, seen: Arrays, weights: Arrays, precision: str) -> Check:
    """Weights that go in come out again, to the last bit."""
    stored = "float64" if precision == "float64" else "float32"
    changed = [
        name
        for name, given in weights.items()
        if not np.array_equal(seen.get(f"weights/0/{name}", np.empty(0)), given.astype(stored))
    ]
    return Check(
        probe.name, "round trip", 0, changed[0] if changed else None, float(len(changed)), None, 0, not changed
    )


def repeats(
    probe: Probe, seen: Arrays, again: Arrays, scale: tuple[Arrays, ...] | None, weights: Arrays, cell: Cell
) -> Check:
    """Two runs from the same start are equal, to the last bit; on a GPU, but for the order of its sums."""
    if cell.device == "cpu":
        same = seen.keys() == again.keys() and all(np.array_equal(seen[key], again[key]) for key in seen)
        return Check(probe.name, "repeats", 0, None, float(not same), None, 0, same)
    last = max(probe.weights_after)
    errors = weight_errors(again, seen, weights, last)
    worst = max(errors, key=lambda name: errors[name])
    costs = [max(weight_errors(low, scale[-1], weights, last).values()) for low in scale[:-1]] if scale else []
    rounding = max(costs, default=None)
    limit = repeats_limit(cell.precision, rounding)
    return Check(probe.name, "repeats", last, worst, errors[worst], rounding, limit, errors[worst] <= limit)


BARRIER = 0.3  # measured: at most 0.06 of an epoch with a barrier, 0.88 to 0.95 without


def barrier(unfinished: float) -> Check:
    """After `sync` nothing is left to wait for; where work is queued, no barrier leaves most of an epoch."""
    return Check(EPOCH, "barrier", 0, None, unfinished, None, BARRIER, unfinished <= BARRIER)


def localise(checks: list[Check]) -> Check | None:
    """The first check that fails; probes go from single layers outwards, so that is where to look."""
    return next((check for check in checks if not check.passed), None)


def describe(check: Check) -> str:
    """One line: where it parts, by how much."""
    where = f" in {check.parameter}" if check.parameter else ""
    if check.what == "round trip":
        return f"weights do not come back as they were given{where}"
    if check.what == "barrier":
        return f"after sync, reading the weights still waits for {check.error:.0%} of an epoch: the barrier is none"
    if check.what == "repeats":
        apart = f" in {check.parameter} by {check.error:.1e} (limit {check.limit:.0e})" if check.parameter else ""
        return f"{check.probe}: two runs from the same start differ{apart}"
    when = f" after {check.updates} update{'s' * (check.updates != 1)}" if check.updates else ""
    rounding = "" if check.rounding is None else f", rounding may cost {check.rounding:.1e}"
    return f"{check.name}{when}{where} is off by {check.error:.1e} (limit {check.limit:.0e}{rounding})"


def summary(checks: list[Check]) -> list[dict[str, Any]]:
    """For the record: of each probe and kind of check, the worst; and every one that failed."""
    worst: dict[tuple[str, str], Check] = {}
    for check in checks:
        key = (check.probe, check.what)
        if key not in worst or (check.passed, -check.error) < (worst[key].passed, -worst[key].error):
            worst[key] = check
    return [asdict(check) | {"error": finite(check.error)} for check in worst.values()]


def finite(value: float) -> float:
    """JSON knows no infinity."""
    return value if np.isfinite(value) else 1e308
