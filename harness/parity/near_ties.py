"""The oracle in float32, with every near tie decided the other way: how far rounding alone can lead a training astray.

A ReLU's input next to zero, or two nearly equal values in a pool, are ties that rounding decides; each decision sends a
gradient elsewhere, by far more than rounding changes a sum. In 5 of 18 seeds some framework decided one otherwise than
the oracle. Here all of them fall the wrong way at once.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

import crossframe.backends.reference.model as reference
from crossframe.backends.reference.layers import LAYERS, Backward, Forward, pool, pool_backward, relu_backward, tiled
from crossframe.tasks import spec
from crossframe.tasks.spec import Arrays

NEAR = 50 * float(np.finfo(np.float32).eps)  # of a layer's largest input: what a sum of many products may be off by


def contrary_relu(layer: spec.ReLU, p: Arrays, x: np.ndarray, within: float = NEAR) -> tuple[np.ndarray, Any]:
    # An exact zero is zero in every framework.
    near = (np.abs(x) < within * np.abs(x).max()) & (x != 0)
    return np.maximum(x, 0), (x > 0) ^ near


def contrary_pool(layer: spec.MaxPool2D, p: Arrays, x: np.ndarray, within: float = NEAR) -> tuple[np.ndarray, Any]:
    y, (shape, first) = pool(layer, p, x)
    tiles = tiled(x, layer.size)
    second = tiles.argsort(axis=-1)[..., -2][..., None]
    gap = y[..., None] - np.take_along_axis(tiles, second, axis=-1)
    near = (gap < within * np.abs(x).max()) & (gap > 0)
    return y, (shape, np.where(near, second, first))


def contrary_layers(within: float) -> dict[type, tuple[Forward, Backward]]:
    """The layers that decide; a tie is what is so near, as a share of the layer's largest input."""
    return {
        spec.ReLU: (partial(contrary_relu, within=within), relu_backward),
        spec.MaxPool2D: (partial(contrary_pool, within=within), pool_backward),
    }


class Contrary(reference.Model):
    layers = LAYERS | contrary_layers(NEAR)
