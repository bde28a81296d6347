"""Layers in NumPy: forward -> (output, cache for backward); backward -> (input gradient, parameter gradients).

The first axis of x and y is the batch. Parameters and their gradients have short names (`w`, `b`, `w_x`, `w_h`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from crossframe.tasks import spec
from crossframe.tasks.spec import Arrays

Cache = Any
Forward = Callable[[Any, Arrays, np.ndarray], tuple[np.ndarray, Cache]]
Backward = Callable[[Any, Arrays, Cache, np.ndarray], tuple[np.ndarray, Arrays]]


def dense(layer: spec.Dense, p: Arrays, x: np.ndarray) -> tuple[np.ndarray, Cache]:
    return x @ p["w"] + p["b"], x


def dense_backward(layer: spec.Dense, p: Arrays, x: np.ndarray, dy: np.ndarray) -> tuple[np.ndarray, Arrays]:
    return dy @ p["w"].T, {"w": x.T @ dy, "b": dy.sum(axis=0)}


def extract_patches(layer: spec.Conv2D, x: np.ndarray) -> np.ndarray:
    """Return the input patch of each output position: (batch, in, h, w) -> (batch, h', w', in * size * size)."""
    padding = (layer.padding, layer.padding)
    x = np.pad(x, ((0, 0), (0, 0), padding, padding))
    patches = np.lib.stride_tricks.sliding_window_view(x, (layer.size, layer.size), axis=(2, 3))
    patches = patches.transpose(0, 2, 3, 1, 4, 5)
    return patches.reshape(*patches.shape[:3], -1)


def conv(layer: spec.Conv2D, p: Arrays, x: np.ndarray) -> tuple[np.ndarray, Cache]:
    patches = extract_patches(layer, x)
    y = patches @ p["w"].reshape(layer.filters, -1).T + p["b"]
    return y.transpose(0, 3, 1, 2), (x.shape, patches)


def conv_backward(layer: spec.Conv2D, p: Arrays, cache: Cache, dy: np.ndarray) -> tuple[np.ndarray, Arrays]:
    shape, patches = cache
    dy = dy.transpose(0, 2, 3, 1)  # (batch, h', w', filters)
    flat = dy.reshape(-1, layer.filters)
    dw = (flat.T @ patches.reshape(len(flat), -1)).reshape(p["w"].shape)
    dpatches = (dy @ p["w"].reshape(layer.filters, -1)).reshape(*dy.shape[:3], *p["w"].shape[1:])
    batch, channels, height, width = shape
    padding = layer.padding
    dx = np.zeros((batch, channels, height + 2 * padding, width + 2 * padding), dy.dtype)
    for row in range(layer.size):
        for column in range(layer.size):
            patch = dpatches[..., row, column].transpose(0, 3, 1, 2)
            dx[:, :, row : row + patch.shape[2], column : column + patch.shape[3]] += patch
    return dx[:, :, padding : padding + height, padding : padding + width], {"w": dw, "b": flat.sum(axis=0)}


def split_tiles(x: np.ndarray, size: int) -> np.ndarray:
    """Return the tiles of images: (batch, channels, height, width) -> (..., height / size, width / size, size²)."""
    batch, channels, height, width = x.shape
    tiles = x.reshape(batch, channels, height // size, size, width // size, size).transpose(0, 1, 2, 4, 3, 5)
    return tiles.reshape(*tiles.shape[:4], size * size)


def pool(layer: spec.MaxPool2D, p: Arrays, x: np.ndarray) -> tuple[np.ndarray, Cache]:
    tiles = split_tiles(x, layer.size)
    # Of several maxima in a tile the first one gets the gradient, as in torch, TensorFlow and oneDNN.
    first = tiles.argmax(axis=-1)[..., None]
    return np.take_along_axis(tiles, first, axis=-1)[..., 0], (x.shape, first)


def pool_backward(layer: spec.MaxPool2D, p: Arrays, cache: Cache, dy: np.ndarray) -> tuple[np.ndarray, Arrays]:
    shape, first = cache
    size = layer.size
    tiles = np.zeros((*dy.shape, size * size), dy.dtype)
    np.put_along_axis(tiles, first, dy[..., None], axis=-1)
    tiles = tiles.reshape(*dy.shape, size, size).transpose(0, 1, 2, 4, 3, 5)
    return tiles.reshape(shape), {}


def relu(layer: spec.ReLU, p: Arrays, x: np.ndarray) -> tuple[np.ndarray, Cache]:
    return np.maximum(x, 0), x > 0


def relu_backward(layer: spec.ReLU, p: Arrays, positive: np.ndarray, dy: np.ndarray) -> tuple[np.ndarray, Arrays]:
    return dy * positive, {}


def flatten(layer: spec.Flatten, p: Arrays, x: np.ndarray) -> tuple[np.ndarray, Cache]:
    return x.reshape(len(x), -1), x.shape


def flatten_backward(layer: spec.Flatten, p: Arrays, shape: Cache, dy: np.ndarray) -> tuple[np.ndarray, Arrays]:
    return dy.reshape(shape), {}


def sigmoid(x: np.ndarray) -> np.ndarray:
    # By tanh, since exp(-x) overflows for very negative x.
    return (1 + np.tanh(x / 2)) / 2


def lstm(layer: spec.LSTM, p: Arrays, x: np.ndarray) -> tuple[np.ndarray, Cache]:
    batch, steps, _ = x.shape
    from_input = x @ p["w_x"] + p["b"]
    h = c = np.zeros((batch, layer.units), x.dtype)
    hidden, states = [], []
    for t in range(steps):
        i, f, g, o = np.split(from_input[:, t] + h @ p["w_h"], 4, axis=1)
        i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
        c_before, h_before = c, h
        c = f * c_before + i * g
        h = o * np.tanh(c)
        states.append((i, f, g, o, h_before, c_before, np.tanh(c)))
        hidden.append(h)
    return np.stack(hidden, axis=1), (x, states)


def lstm_backward(layer: spec.LSTM, p: Arrays, cache: Cache, dy: np.ndarray) -> tuple[np.ndarray, Arrays]:
    x, states = cache
    dh_next = dc_next = np.zeros_like(dy[:, 0])
    dgates, hidden_before = [], []
    for t in reversed(range(len(states))):
        i, f, g, o, h_before, c_before, tanh_c = states[t]
        dh = dy[:, t] + dh_next
        dc = dc_next + dh * o * (1 - tanh_c**2)
        # Through each gate's own function: sigmoid' = s (1 - s), tanh' = 1 - t^2.
        di = dc * g * i * (1 - i)
        df = dc * c_before * f * (1 - f)
        dg = dc * i * (1 - g**2)
        do = dh * tanh_c * o * (1 - o)
        dgates.append(np.concatenate([di, df, dg, do], axis=1))
        hidden_before.append(h_before)
        dh_next, dc_next = dgates[-1] @ p["w_h"].T, dc * f
    gates = np.stack(dgates[::-1], axis=1)  # (batch, steps, 4 units); batch and steps as in x
    flat = gates.reshape(-1, gates.shape[2])
    gradients = {
        "w_x": x.reshape(len(flat), -1).T @ flat,
        "w_h": np.stack(hidden_before[::-1], axis=1).reshape(len(flat), -1).T @ flat,
        "b": flat.sum(axis=0),
    }
    return gates @ p["w_x"].T, gradients


def last_step(layer: spec.LastStep, p: Arrays, x: np.ndarray) -> tuple[np.ndarray, Cache]:
    return x[:, -1], x.shape


def last_step_backward(layer: spec.LastStep, p: Arrays, shape: Cache, dy: np.ndarray) -> tuple[np.ndarray, Arrays]:
    dx = np.zeros(shape, dy.dtype)
    dx[:, -1] = dy
    return dx, {}


LAYERS: dict[type, tuple[Forward, Backward]] = {
    spec.Dense: (dense, dense_backward),
    spec.Conv2D: (conv, conv_backward),
    spec.MaxPool2D: (pool, pool_backward),
    spec.ReLU: (relu, relu_backward),
    spec.Flatten: (flatten, flatten_backward),
    spec.LSTM: (lstm, lstm_backward),
    spec.LastStep: (last_step, last_step_backward),
}
