"""The spec's optimizers in JAX, by optax: chains of pairs of pure functions instead of optimizer objects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import optax
from jax import numpy as jnp

from crossframe.backends.contract import Dialect
from crossframe.tasks import spec

# The differences of optax's own idiom from the spec.
DIALECT: Dialect = {
    "adagrad_epsilon": "inside_root",  # optax.adagrad divides by sqrt(sum + epsilon)
}

Rate = float | Callable[[Any], Any]

# Settings of the spec and the common argument `learning_rate` -> optax' optimizer.
OPTIMIZERS: dict[type, Callable[..., optax.GradientTransformation]] = {
    spec.SGD: lambda s, **common: optax.sgd(**common, momentum=s.momentum or None, nesterov=s.nesterov),
    spec.Adam: lambda s, **common: optax.adam(**common, b1=s.beta1, b2=s.beta2, eps=s.epsilon),
    spec.AdaGrad: lambda s, **common: optax.adagrad(**common, initial_accumulator_value=0.0, eps=s.epsilon),
    spec.RMSProp: lambda s, **common: optax.rmsprop(**common, decay=s.decay, eps=s.epsilon, eps_in_sqrt=False),
}


def make_optimizer(task: spec.Task) -> optax.GradientTransformation:
    """Return the transformation of gradients in the order of the spec: clipping, L2 decay, the optimizer."""
    settings = task.optimizer
    steps = []
    if task.clip_norm is not None:
        steps.append(optax.clip_by_global_norm(task.clip_norm))
    if settings.weight_decay:
        # Before the optimizer it is L2 decay; after it, as in optax.adamw, it would be decoupled.
        steps.append(optax.add_decayed_weights(settings.weight_decay))
    return optax.chain(*steps, OPTIMIZERS[type(settings)](settings, learning_rate=make_rate(task)))


def make_rate(task: spec.Task) -> Rate:
    """Return the learning rate: a number, or a function of the number of updates, which optax counts in its state."""
    initial, schedule = task.optimizer.rate, task.schedule
    if schedule is None:
        return initial
    if isinstance(schedule, spec.StepSchedule):
        # Not optax.exponential_decay(staircase=True), which computes in float32 even beside float64 weights.
        return lambda updates: initial * schedule.gamma ** (updates // schedule.every)
    # Not optax.warmup_cosine_decay_schedule, whose rate rises from zero: 7 % off at the peak.
    rates = np.array([initial * schedule.factor(update) for update in range(schedule.updates + 1)])
    return lambda updates: jnp.asarray(rates)[jnp.minimum(updates, schedule.updates)]
