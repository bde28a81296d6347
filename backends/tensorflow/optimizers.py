"""The spec's optimizers in TensorFlow: those of Keras, with every setting given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from crossframe.backends.contract import Dialect
from crossframe.tasks import spec

# The differences of Keras' own idiom from the spec.
DIALECT: Dialect = {
    "adam_epsilon": "before_correction",
    "adam_correction": "float32",
    "adagrad_epsilon": "inside_root",
    "rmsprop_epsilon": "inside_root",
    "momentum_rate": "inside_velocity",
    "leaky_relu_slope": "float32",  # an attribute of the operator
}

# Keras casts Python's numbers by way of float32; those of NumPy keep their 64 bits.
NUMBERS: dict[str, Callable[[float], float]] = {"float32": float, "float64": np.float64}

# Settings of the spec and the common argument `learning_rate` -> Keras' optimizer. Without weight decay: Keras' is
# decoupled (w - rate * decay * w), the spec's is added to the gradient.
OPTIMIZERS: dict[type, Callable[..., keras.Optimizer]] = {
    spec.SGD: lambda s, **common: keras.optimizers.SGD(**common, momentum=s.momentum, nesterov=s.nesterov),
    spec.Adam: lambda s, **common: keras.optimizers.Adam(**common, beta_1=s.beta1, beta_2=s.beta2, epsilon=s.epsilon),
    spec.AdaGrad: lambda s, **common: keras.optimizers.Adagrad(
        **common, initial_accumulator_value=0.0, epsilon=s.epsilon
    ),
    spec.RMSProp: lambda s, **common: keras.optimizers.RMSprop(**common, rho=s.decay, epsilon=s.epsilon),
}


def make_optimizer(task: spec.Task, dtype: str) -> keras.Optimizer:
    """Return the optimizer of a task for weights of type `dtype`."""
    settings: Any = task.optimizer
    numbers = {name: NUMBERS[dtype](value) for name, value in vars(settings).items() if not isinstance(value, bool)}
    settings = replace(settings, **numbers)
    return OPTIMIZERS[type(settings)](settings, learning_rate=make_rate(task))


class Cosine(keras.optimizers.schedules.LearningRateSchedule):
    """The rates of the spec's cosine, by update. That of Keras is 5 % off at the peak, since its warm-up ends later."""

    def __init__(self, schedule: spec.CosineSchedule, initial: float) -> None:
        self.rates = np.array([initial * schedule.factor(update) for update in range(schedule.updates + 1)])

    def __call__(self, step: Any) -> Any:
        return tf.constant(self.rates)[tf.minimum(tf.cast(step, tf.int32), len(self.rates) - 1)]


def make_rate(task: spec.Task) -> Callable[..., Any]:
    """Return the learning rate as a function of the update; also if constant, since Keras rounds numbers to float32."""
    initial = np.float64(task.optimizer.rate)
    if task.schedule is None:
        return lambda: initial
    if isinstance(task.schedule, spec.CosineSchedule):
        return Cosine(task.schedule, task.optimizer.rate)
    return keras.optimizers.schedules.ExponentialDecay(
        initial, task.schedule.every, np.float64(task.schedule.gamma), staircase=True
    )
