"""The spec's optimizers in Keras: its own, every setting given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from crossframe.tasks import spec

# Where Keras' own idiom computes something else than the spec says.
DIALECT: dict[str, Any] = {
    "adam_epsilon": "before_correction",
    "adam_correction": "float32",
    "adagrad_epsilon": "inside_root",
    "rmsprop_epsilon": "inside_root",
    "momentum_rate": "inside_velocity",
}

Rate = Callable[..., Any]
Number = Callable[[float], float]

# Keras casts Python's numbers by way of float32; those of NumPy keep their 64 bits.
NUMBERS: dict[str, Number] = {"float32": float, "float64": np.float64}

# Weight decay is none of theirs: Keras' is decoupled (w - rate * decay * w), the spec's is added to the gradient.
OPTIMIZERS: dict[type, Callable[[Rate, Any, Number], keras.Optimizer]] = {
    spec.SGD: lambda rate, s, number: keras.optimizers.SGD(rate, number(s.momentum)),
    spec.Adam: lambda rate, s, number: keras.optimizers.Adam(rate, number(s.beta1), number(s.beta2), number(s.epsilon)),
    spec.AdaGrad: lambda rate, s, number: keras.optimizers.Adagrad(
        rate, initial_accumulator_value=0.0, epsilon=number(s.epsilon)
    ),
    spec.RMSProp: lambda rate, s, number: keras.optimizers.RMSprop(rate, number(s.decay), epsilon=number(s.epsilon)),
}


def rate(task: spec.Task) -> Rate:
    """The learning rate of an update; a function where it is constant, since Keras makes a plain number float32."""
    initial = np.float64(task.optimizer.rate)
    if task.schedule is None:
        return lambda: initial
    return keras.optimizers.schedules.ExponentialDecay(
        initial, task.schedule.every, np.float64(task.schedule.gamma), staircase=True
    )
