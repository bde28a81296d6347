"""Layers in NumPy: forward -> (output, cache for backward); backward -> (input gradient, parameter gradients).

The first axis of x and y is the batch. Parameters and their gradients have short names (`w`, `b`, `w_x`, `w_h`).
"""

from __future__ import annotations

import numpy as np

from crossframe.backends.reference.activations import ACTIVATIONS, Backward, Cache, Forward, sigmoid
from crossframe.backends.reference.normalization import norm, norm_backward
from crossframe.tasks import spec
from crossframe.tasks.spec import Arrays


def dense(layer: spec.Dense, p: Arrays, x: np.ndarray) -> tuple[np.ndarray, Cache]:
    return x @ p["w"] + p["b"], x


def dense_backward(layer: spec.Dense, p: Arrays, x: np.ndarray, dy: np.ndarray) -> tuple[np.ndarray, Arrays]:
    return dy @ p["w"].T, {"w": x.T @ dy, "b": dy.sum(axis=0)}


def extract_patches(layer: spec.Conv2D, x: np.ndarray) -> np.ndarray:
    """Return the input patch of each output position: (batch, in, h, w) -> (batch, h', w', in * size * size)."""
    x = np.pad(x, ((0, 0), (0, 0), *layer.around))
    patches = np.lib.stride_tricks.sliding_window_view(x, (layer.reach, layer.reach), axis=(2, 3))
    step, gap = layer.stride, layer.dilation
    patches = patches[:, :, ::step, ::step, ::gap, ::gap].transpose(0, 2, 3, 1, 4, 5)
    return patches.reshape(*patches.shape[:3], -1)


def split_groups(layer: spec.Conv2D, p: Arrays, *arrays: np.ndarray) -> list[tuple[np.ndarray, ...]]:
    """Return (kernel, the part of each of `arrays`) for each group, kernels (filters, in * size * size)."""
    kernel = p["w"].reshape(layer.filters, -1)
    return list(zip(np.split(kernel, layer.groups), *(np.split(array, layer.groups, axis=-1) for array in arrays)))


def conv(layer: spec.Conv2D, p: Arrays, x: np.ndarray) -> tuple[np.ndarray, Cache]:
    patches = extract_patches(layer, x)
    y = np.concatenate([part @ kernel.T for kernel, part in split_groups(layer, p, patches)], axis=-1)
    y = y + p["b"] if layer.bias else y
    return y.transpose(0, 3, 1, 2), (x.shape, patches)


def conv_backward(layer: spec.Conv2D, p: Arrays, cache: Cache, dy: np.ndarray) -> tuple[np.ndarray, Arrays]:
    shape, patches = cache
    dy = dy.transpose(0, 2, 3, 1)  # (batch, h', w', filters)
    flat = dy.reshape(-1, layer.filters)
    groups = split_groups(layer, p, patches.reshape(len(flat), -1), flat)
    gradients = {"w": np.concatenate([part.T @ patch for _, patch, part in groups]).reshape(p["w"].shape)}
    if layer.bias:
        gradients["b"] = flat.sum(axis=0)
    return sum_patches(layer, dy, [(kernel, part) for kernel, _, part in groups], shape), gradients


def sum_patches(
    layer: spec.Conv2D, dy: np.ndarray, groups: list[tuple[np.ndarray, np.ndarray]], shape: tuple[int, ...]
) -> np.ndarray:
    """Return the gradient of the input, `shape`: each of (kernel, part of dy) gives patches that overlap."""
    batch, channels, height, width = shape
    (above, below), (left, right) = layer.around
    dx = np.zeros((batch, above + height + below, left + width + right, channels), dy.dtype)
    rows, columns = (layer.stride * (count - 1) + 1 for count in dy.shape[1:3])
    kernels = [kernel.reshape(len(kernel), -1, layer.size, layer.size) for kernel, _ in groups]
    for i in range(layer.size):
        for j in range(layer.size):
            top, first = i * layer.dilation, j * layer.dilation
            patches = [part @ kernel[:, :, i, j] for kernel, (_, part) in zip(kernels, groups)]
            places = dx[:, top : top + rows : layer.stride, first : first + columns : layer.stride]
            places += np.concatenate(patches, axis=-1).reshape(places.shape)
    return dx[:, above : above + height, left : left + width].transpose(0, 3, 1, 2)


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


def average(layer: spec.AveragePool2D, p: Arrays, x: np.ndarray) -> tuple[np.ndarray, Cache]:
    return split_tiles(x, layer.size).mean(axis=-1), x.shape


def average_backward(layer: spec.AveragePool2D, p: Arrays, shape: Cache, dy: np.ndarray) -> tuple[np.ndarray, Arrays]:
    return dy.repeat(layer.size, axis=2).repeat(layer.size, axis=3) / layer.size**2, {}


def global_average(layer: spec.GlobalAveragePool, p: Arrays, x: np.ndarray) -> tuple[np.ndarray, Cache]:
    return x.mean(axis=(2, 3)), x.shape


def global_average_backward(
    layer: spec.GlobalAveragePool, p: Arrays, shape: Cache, dy: np.ndarray
) -> tuple[np.ndarray, Arrays]:
    return np.broadcast_to(dy[..., None, None] / (shape[2] * shape[3]), shape), {}


def flatten(layer: spec.Flatten, p: Arrays, x: np.ndarray) -> tuple[np.ndarray, Cache]:
    return x.reshape(len(x), -1), x.shape


def flatten_backward(layer: spec.Flatten, p: Arrays, shape: Cache, dy: np.ndarray) -> tuple[np.ndarray, Arrays]:
    return dy.reshape(shape), {}


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
    spec.AveragePool2D: (average, average_backward),
    spec.GlobalAveragePool: (global_average, global_average_backward),
    spec.BatchNorm: (norm, norm_backward),
    spec.Flatten: (flatten, flatten_backward),
    spec.LSTM: (lstm, lstm_backward),
    spec.LastStep: (last_step, last_step_backward),
    **ACTIVATIONS,
}
