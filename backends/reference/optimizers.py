"""Optimizers in NumPy: (settings, rate, gradient, state of this parameter, update number from 1, dialect) -> the step.

The weight becomes `w - step`. `state` is a dictionary that the rule fills at its first update. `dialect` holds the
words of `crossframe.backends.contract.DIALECTS` in which a framework departs from the formula of the spec.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from crossframe.tasks import spec
from crossframe.tasks.spec import Arrays

Rule = Callable[[Any, float, np.ndarray, Arrays, int, Mapping[str, Any]], np.ndarray]


def held(settings: Any, dialect: Mapping[str, Any]) -> Callable[[float], float]:
    """What becomes of a number that an optimizer was given: itself, or the nearest of float32."""
    if dialect.get(f"{type(settings).__name__.lower()}_settings") == "float32":
        return lambda number: float(np.float32(number))
    return float


def sgd(s: spec.SGD, rate: float, g: np.ndarray, state: Arrays, k: int, dialect: Mapping[str, Any]) -> np.ndarray:
    rate, momentum = map(held(s, dialect), (rate, s.momentum))
    if dialect.get("momentum_rate") == "inside_velocity":
        state["velocity"] = momentum * state.get("velocity", np.zeros_like(g)) + rate * g
        return state["velocity"]
    state["velocity"] = momentum * state.get("velocity", np.zeros_like(g)) + g
    return rate * state["velocity"]


def adam(s: spec.Adam, rate: float, g: np.ndarray, state: Arrays, k: int, dialect: Mapping[str, Any]) -> np.ndarray:
    number = held(s, dialect)
    beta1, beta2, epsilon = map(number, (s.beta1, s.beta2, s.epsilon))
    state["m"] = beta1 * state.get("m", np.zeros_like(g)) + (1 - beta1) * g
    state["v"] = beta2 * state.get("v", np.zeros_like(g)) + (1 - beta2) * g**2
    # Who says "before" makes the corrections a part of the rate, so that they are held as one number with it.
    working = np.float32 if dialect.get("adam_correction") == "float32" else np.float64
    correction = math.sqrt(working(1) - working(s.beta2) ** working(k))
    corrected_rate = rate / float(working(1) - working(s.beta1) ** working(k))
    if dialect.get("adam_epsilon") == "before_correction":
        return number(corrected_rate * correction) * state["m"] / (np.sqrt(state["v"]) + epsilon)
    return number(corrected_rate) * state["m"] / (np.sqrt(state["v"]) / correction + epsilon)


def root(square: np.ndarray, epsilon: float, where: str) -> np.ndarray:
    return np.sqrt(square + epsilon) if where == "inside_root" else np.sqrt(square) + epsilon


def adagrad(
    s: spec.AdaGrad, rate: float, g: np.ndarray, state: Arrays, k: int, dialect: Mapping[str, Any]
) -> np.ndarray:
    state["sum"] = state.get("sum", np.zeros_like(g)) + g**2
    return rate * g / root(state["sum"], s.epsilon, dialect.get("adagrad_epsilon", "outside_root"))


def rmsprop(
    s: spec.RMSProp, rate: float, g: np.ndarray, state: Arrays, k: int, dialect: Mapping[str, Any]
) -> np.ndarray:
    rate, decay, epsilon = map(held(s, dialect), (rate, s.decay, s.epsilon))
    state["mean"] = decay * state.get("mean", np.zeros_like(g)) + (1 - decay) * g**2
    return rate * g / root(state["mean"], epsilon, dialect.get("rmsprop_epsilon", "outside_root"))


OPTIMIZERS: dict[type, Rule] = {spec.SGD: sgd, spec.Adam: adam, spec.AdaGrad: adagrad, spec.RMSProp: rmsprop}


def scheduled_rate(task: spec.Task, update: int) -> float:
    """The learning rate of update `update`, counted from 0."""
    schedule = task.schedule
    return task.optimizer.rate * (schedule.gamma ** (update // schedule.every) if schedule else 1.0)


def clip(gradients: Arrays, limit: float, epsilon: float) -> Arrays:
    """Scale all gradients so that their common L2 norm is at most `limit`. Pascanu et al. 2013, section 3.2."""
    norm = float(np.sqrt(sum(float((g**2).sum()) for g in gradients.values())))
    scale = min(1.0, limit / (norm + epsilon)) if norm > 0 else 1.0
    return {name: (g * scale).astype(g.dtype) for name, g in gradients.items()}
