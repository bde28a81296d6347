"""Optimizers in NumPy: (settings, update, gradient, state of the parameter) -> the step; the weight becomes `w - step`.

A rule fills `state`, an empty dictionary at first, in its first update.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from crossframe.backends.contract import Dialect
from crossframe.tasks import spec
from crossframe.tasks.spec import Arrays


@dataclass(frozen=True)
class Update:
    """One update of all parameters."""

    number: int  # from 1
    rate: float
    dialect: Dialect  # where a framework differs from the formula of the spec


Rule = Callable[[Any, Update, np.ndarray, Arrays], np.ndarray]


def make_rounding(settings: spec.Optimizer, dialect: Dialect) -> Callable[[float], float]:
    """Return the rounding of an optimizer's settings in a dialect: none, or to the nearest float32."""
    if dialect.get(f"{type(settings).__name__.lower()}_settings") == "float32":
        return lambda number: float(np.float32(number))
    return float


def sgd(s: spec.SGD, update: Update, g: np.ndarray, state: Arrays) -> np.ndarray:
    rate, momentum = map(make_rounding(s, update.dialect), (update.rate, s.momentum))
    if update.dialect.get("momentum_rate") == "inside_velocity":
        state["velocity"] = momentum * state.get("velocity", np.zeros_like(g)) + rate * g
        return rate * g + momentum * state["velocity"] if s.nesterov else state["velocity"]
    state["velocity"] = momentum * state.get("velocity", np.zeros_like(g)) + g
    return rate * (g + momentum * state["velocity"] if s.nesterov else state["velocity"])


def adam(s: spec.Adam, update: Update, g: np.ndarray, state: Arrays) -> np.ndarray:
    dialect, k = update.dialect, update.number
    rounding = make_rounding(s, dialect)
    beta1, beta2, epsilon = map(rounding, (s.beta1, s.beta2, s.epsilon))
    state["m"] = beta1 * state.get("m", np.zeros_like(g)) + (1 - beta1) * g
    state["v"] = beta2 * state.get("v", np.zeros_like(g)) + (1 - beta2) * g**2
    # Frameworks that add epsilon before the correction multiply the corrections into the rate, as one number.
    float_type = np.float32 if dialect.get("adam_correction") == "float32" else np.float64
    correction = math.sqrt(float_type(1) - float_type(s.beta2) ** float_type(k))
    corrected_rate = update.rate / float(float_type(1) - float_type(s.beta1) ** float_type(k))
    if dialect.get("adam_epsilon") == "before_correction":
        return rounding(corrected_rate * correction) * state["m"] / (np.sqrt(state["v"]) + epsilon)
    return rounding(corrected_rate) * state["m"] / (np.sqrt(state["v"]) / correction + epsilon)


def root(square: np.ndarray, epsilon: float, position: str | float) -> np.ndarray:
    """Return the root of `square`, with `epsilon` added at a position: `inside_root` or `outside_root`."""
    return np.sqrt(square + epsilon) if position == "inside_root" else np.sqrt(square) + epsilon


def adagrad(s: spec.AdaGrad, update: Update, g: np.ndarray, state: Arrays) -> np.ndarray:
    state["sum"] = state.get("sum", np.zeros_like(g)) + g**2
    return update.rate * g / root(state["sum"], s.epsilon, update.dialect.get("adagrad_epsilon", "outside_root"))


def rmsprop(s: spec.RMSProp, update: Update, g: np.ndarray, state: Arrays) -> np.ndarray:
    rate, decay, epsilon = map(make_rounding(s, update.dialect), (update.rate, s.decay, s.epsilon))
    state["mean"] = decay * state.get("mean", np.zeros_like(g)) + (1 - decay) * g**2
    return rate * g / root(state["mean"], epsilon, update.dialect.get("rmsprop_epsilon", "outside_root"))


OPTIMIZERS: dict[type, Rule] = {spec.SGD: sgd, spec.Adam: adam, spec.AdaGrad: adagrad, spec.RMSProp: rmsprop}


def scheduled_rate(task: spec.Task, index: int) -> float:
    """Return the learning rate of an update, counted from 0."""
    return task.optimizer.rate * (task.schedule.factor(index) if task.schedule else 1.0)


def clip(gradients: Arrays, max_norm: float, epsilon: float) -> Arrays:
    """Scale all gradients so that their common L2 norm is at most `max_norm`. Pascanu et al. 2013, section 3.2."""
    norm = float(np.sqrt(sum(float((g**2).sum()) for g in gradients.values())))
    factor = min(1.0, max_norm / (norm + epsilon)) if norm > 0 else 1.0
    return {name: (g * factor).astype(g.dtype) for name, g in gradients.items()}
