"""The spec's optimizers in JAX: optax, which has no optimizer objects but pairs of pure functions, chained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import optax

from crossframe.tasks import spec

# Where optax's own idiom computes something else than the spec says.
DIALECT: dict[str, Any] = {
    "adagrad_epsilon": "inside_root",  # optax.adagrad divides by sqrt(sum + epsilon)
}

Rate = float | Callable[[Any], Any]

OPTIMIZERS: dict[type, Callable[[Any, Rate], optax.GradientTransformation]] = {
    spec.SGD: lambda s, rate: optax.sgd(rate, s.momentum or None),
    spec.Adam: lambda s, rate: optax.adam(rate, s.beta1, s.beta2, s.epsilon),
    spec.AdaGrad: lambda s, rate: optax.adagrad(rate, initial_accumulator_value=0.0, eps=s.epsilon),
    spec.RMSProp: lambda s, rate: optax.rmsprop(rate, s.decay, s.epsilon, eps_in_sqrt=False),
}


def build(task: spec.Task) -> optax.GradientTransformation:
    """Gradient to update in the spec's order: clipping, L2 decay, the optimizer at its scheduled rate."""
    settings = task.optimizer
    steps = []
    if task.clip_norm is not None:
        steps.append(optax.clip_by_global_norm(task.clip_norm))
    if settings.weight_decay:
        # Before the optimizer it is L2 decay; behind it, as in optax.adamw, it would be decoupled.
        steps.append(optax.add_decayed_weights(settings.weight_decay))
    return optax.chain(*steps, OPTIMIZERS[type(settings)](settings, rate(task)))


def rate(task: spec.Task) -> Rate:
    """The learning rate: a number, or a function of the updates done, which optax counts in its state."""
    initial, schedule = task.optimizer.rate, task.schedule
    if schedule is None:
        return initial
    # Not optax.exponential_decay(staircase=True), which computes in float32 even beside weights of float64.
    return lambda updates: initial * schedule.gamma ** (updates // schedule.every)
