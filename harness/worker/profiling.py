"""The time of a training step by operator, from the profiler of the framework.

A profile explains a measurement ("a third is the gradient of the convolution") and is not one itself: each profiler
slows the process down in its own way.
"""

from __future__ import annotations

from collections.abc import Sequence

from crossframe.backends.contract import Batch, Model, OperatorCost, ProfileFunction
from crossframe.harness.worker.measurements import OperatorProfile, OperatorTime
from crossframe.harness.worker.states import State

STEPS = 20  # on one batch, as in the samples of single steps
LISTED = 20  # operators
OTHERS = "(others)"


def profile_steps(profile: ProfileFunction, model: Model, batch: Batch) -> OperatorProfile:
    """Return the profile of some training steps on one batch; this changes the weights of the model."""
    batches = [batch] * STEPS
    model.train(batches)  # compiles whatever is compiled for this number of batches
    model.sync()
    return OperatorProfile(State.OK, None, STEPS, list_longest(profile(model, batches)))


def list_longest(costs: Sequence[OperatorCost]) -> list[OperatorTime]:
    """Return the operators that took the most time, the longest first, and one last row for all others.

    ValueError where there are no operators, or negative calls or seconds.
    """
    if not costs:
        raise ValueError("the profiler saw no operator")
    ordered = sorted((OperatorCost(*cost) for cost in costs), key=lambda cost: cost.self_s, reverse=True)
    if not all(cost.calls >= 0 and cost.self_s >= 0 for cost in ordered):
        raise ValueError(f"calls and seconds of 0 or more were expected, not {tuple(ordered[-1])}")
    listed, rest = ordered[:LISTED], ordered[LISTED:]
    if rest:
        listed.append(OperatorCost(OTHERS, sum(cost.calls for cost in rest), sum(cost.self_s for cost in rest)))
    return [OperatorTime(str(cost.name), int(cost.calls), float(cost.self_s)) for cost in listed]
