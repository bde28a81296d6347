"""Batch normalization in NumPy, and its running statistics."""

from __future__ import annotations

import math

import numpy as np

from crossframe.backends.contract import Dialect
from crossframe.backends.reference.activations import Cache
from crossframe.tasks import spec
from crossframe.tasks.spec import Arrays

AXES = (0, 2, 3)  # batch, height, width


def per_channel(values: np.ndarray) -> np.ndarray:
    """Return (channels,) in a shape that broadcasts to images."""
    return values[:, None, None]


def norm(layer: spec.BatchNorm, p: Arrays, x: np.ndarray) -> tuple[np.ndarray, Cache]:
    """Normalize by the statistics of the batch."""
    centred = x - x.mean(axis=AXES, keepdims=True)
    factor = 1 / np.sqrt((centred**2).mean(axis=AXES, keepdims=True) + layer.epsilon)
    normalized = centred * factor
    return per_channel(p["scale"]) * normalized + per_channel(p["shift"]), (normalized, factor)


def norm_backward(layer: spec.BatchNorm, p: Arrays, cache: Cache, dy: np.ndarray) -> tuple[np.ndarray, Arrays]:
    normalized, factor = cache
    # The mean and the variance depend on x too: Ioffe and Szegedy 2015, section 3.
    through_mean = dy.mean(axis=AXES, keepdims=True)
    through_variance = (dy * normalized).mean(axis=AXES, keepdims=True)
    dx = per_channel(p["scale"]) * factor * (dy - through_mean - normalized * through_variance)
    return dx, {"scale": (dy * normalized).sum(axis=AXES), "shift": dy.sum(axis=AXES)}


def norm_in_use(layer: spec.BatchNorm, p: Arrays, x: np.ndarray) -> np.ndarray:
    """Normalize by the running statistics, as `predict` does."""
    factor = p["scale"] / np.sqrt(p["variance"] + layer.epsilon)
    return per_channel(factor) * (x - per_channel(p["mean"])) + per_channel(p["shift"])


def update_statistics(layer: spec.BatchNorm, buffers: Arrays, x: np.ndarray, dialect: Dialect) -> Arrays:
    """Return the running statistics after an update whose batch has the input x."""
    count = math.prod(x.shape[axis] for axis in AXES)
    correction = count / (count - 1) if dialect.get("running_variance") == "unbiased" else 1.0
    batch = {"mean": x.mean(axis=AXES), "variance": x.var(axis=AXES) * correction}
    momentum = float(np.float32(layer.momentum)) if dialect.get("running_momentum") == "float32" else layer.momentum
    return {name: momentum * value + (1 - momentum) * batch[name] for name, value in buffers.items()}
