"""The reference model in float32 with every near tie decided the other way: the most that rounding can change.

The input of a ReLU next to zero, or two nearly equal values in a pooling window, are ties that rounding decides. Each
decision sends a gradient elsewhere, which changes it by far more than rounding changes a sum. In 5 of 18 seeds some
framework decided one differently than the reference model. In this model all of them are decided the other way at once.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

import crossframe.backends.reference.model as reference
from crossframe.backends.reference.activations import Backward, Forward, leaky_relu, multiply_derivative
from crossframe.backends.reference.layers import LAYERS, pool, pool_backward, split_tiles
from crossframe.tasks import spec
from crossframe.tasks.spec import Arrays

# As a share of the largest input of a layer: the rounding error of a sum of many products. In the short trainings of
# probes the errors stay small; there a near tie is twice the largest error of outputs that was measured.
NEAR, CLOSE = 50 * float(np.finfo(np.float32).eps), 8 * float(np.finfo(np.float32).eps)


def flip_relu(layer: spec.ReLU, p: Arrays, x: np.ndarray, within: float = NEAR) -> tuple[np.ndarray, Any]:
    """Return the outputs of a ReLU, and where its inputs are positive, inverted where they are next to zero."""
    # An exact zero is zero in every framework.
    near = (np.abs(x) < within * np.abs(x).max()) & (x != 0)
    return np.maximum(x, 0), (x > 0) ^ near


def flip_leaky_relu(layer: spec.LeakyReLU, p: Arrays, x: np.ndarray, within: float = NEAR) -> tuple[np.ndarray, Any]:
    """Return the outputs of a leaky ReLU and its derivative, that of the other side next to zero."""
    y, _ = leaky_relu(layer, p, x)
    _, positive = flip_relu(spec.ReLU(), p, x, within)
    return y, np.where(positive, 1, layer.slope).astype(x.dtype)


def flip_pool(layer: spec.MaxPool2D, p: Arrays, x: np.ndarray, within: float = NEAR) -> tuple[np.ndarray, Any]:
    """Return the outputs of a pooling layer, and the cache of its backward pass.

    In a near tie, the second largest value of a window gets the gradient.
    """
    y, (shape, first) = pool(layer, p, x)
    tiles = split_tiles(x, layer.size)
    second = tiles.argsort(axis=-1)[..., -2][..., None]
    gap = y[..., None] - np.take_along_axis(tiles, second, axis=-1)
    near = (gap < within * np.abs(x).max()) & (gap > 0)
    return y, (shape, np.where(near, second, first))


def near_tie_layers(within: float) -> dict[type, tuple[Forward, Backward]]:
    """Return the layers that decide ties; `within` is the size of a near tie, as a share of the largest input."""
    return {
        spec.ReLU: (partial(flip_relu, within=within), multiply_derivative),
        spec.LeakyReLU: (partial(flip_leaky_relu, within=within), multiply_derivative),
        spec.MaxPool2D: (partial(flip_pool, within=within), pool_backward),
    }


class NearTieModel(reference.Model):
    """The reference model with near ties decided the other way."""

    layers = LAYERS | near_tie_layers(NEAR)


class CloseTieModel(reference.Model):
    """The reference model with only the closest of ties decided the other way."""

    layers = LAYERS | near_tie_layers(CLOSE)
