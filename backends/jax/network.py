"""The spec's layers and losses in JAX: pure functions of parameters that keep the spec's names and layouts.

Within the network images are channels last, `(batch, height, width, channels)`, which makes a step of the cnn a third
faster on a CPU. The network transposes its input and output and Flatten transposes back: no parameter is converted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial, reduce
from typing import Any

import jax
import optax
from jax import Array, lax
from jax import numpy as jnp

from crossframe.tasks import spec

Parameters = dict[str, Array]
Apply = Callable[[Any, Parameters, Array], Array]  # (layer, its parameters by short name, x) -> y
Network = Callable[[Parameters, Array], Array]  # x (batch, *input_shape) -> (batch, *output_shape)


def dense(layer: spec.Dense, p: Parameters, x: Array) -> Array:
    return x @ p["w"] + p["b"]


def conv(layer: spec.Conv2D, p: Parameters, x: Array) -> Array:
    around = [(layer.padding, layer.padding)] * 2
    return lax.conv_general_dilated(x, p["w"], (1, 1), around, dimension_numbers=("NHWC", "OIHW", "NHWC")) + p["b"]


def pool(layer: spec.MaxPool2D, p: Parameters, x: Array) -> Array:
    # Not lax.reduce_window, whose gradient takes 20 ms on a CPU instead of 1 ms (batch 64 of 32 x 24 x 24).
    batch, height, width, channels = x.shape
    tiles = x.reshape(batch, height // layer.size, layer.size, width // layer.size, layer.size, channels)
    columns = reduce(first_maximum, [tiles[:, :, :, :, column] for column in range(layer.size)])
    return reduce(first_maximum, [columns[:, :, row] for row in range(layer.size)])


def first_maximum(a: Array, b: Array) -> Array:
    # If both are equal the gradient goes to the first, as in the spec; jnp.maximum would split it.
    return jnp.where(a >= b, a, b)


def lstm(layer: spec.LSTM, p: Parameters, x: Array, scan: Callable[..., Any] = lax.scan) -> Array:
    zero = jnp.zeros((x.shape[0], layer.units), x.dtype)
    weights = jnp.concatenate([p["w_x"], p["w_h"]])

    # One product with both weights, and everything else recomputed in the backward pass: on a CPU faster than x @ w_x
    # for all steps before the loop, since less is stored and read again. (Unrolling the loop gains nothing.)
    @partial(jax.checkpoint, policy=jax.checkpoint_policies.dots_saveable, prevent_cse=False)
    def cell(state: tuple[Array, Array], x: Array) -> tuple[tuple[Array, Array], Array]:
        h, c = state
        i, f, g, o = jnp.split(jnp.concatenate([x, h], axis=1) @ weights + p["b"], 4, axis=1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    _, hidden = scan(cell, (zero, zero), x.swapaxes(0, 1))
    return hidden.swapaxes(0, 1)


def flatten(layer: spec.Flatten, p: Parameters, x: Array) -> Array:
    return x.transpose(0, 3, 1, 2).reshape(x.shape[0], -1)


LAYERS: dict[type, Apply] = {
    spec.Dense: dense,
    spec.Conv2D: conv,
    spec.MaxPool2D: pool,
    spec.ReLU: lambda layer, p, x: jax.nn.relu(x),
    spec.Flatten: flatten,
    spec.LSTM: lstm,
    spec.LastStep: lambda layer, p, x: x[:, -1],
}


def pool_operator(layer: spec.MaxPool2D, p: Parameters, x: Array) -> Array:
    from flax import linen  # imported late: it takes long and training does not need it

    return linen.max_pool(x, window_shape=(layer.size,) * 2, strides=(layer.size,) * 2)


def scan_unrolled(step: Callable[[Any, Array], tuple[Any, Array]], state: Any, xs: Array) -> tuple[Any, Array]:
    """Return the result of `lax.scan`, computed by a Python loop."""
    ys = []
    for x in jnp.unstack(xs):
        state, y = step(state, x)
        ys.append(y)
    return state, jnp.stack(ys)


# The same functions in the form from which jax2onnx makes the better file: flax's pooling becomes a MaxPool over two
# axes (lax.reduce_window one over four axes, which onnxruntime rejects), and lax.scan a Loop, which tract and onnx's
# evaluator reject and OpenCV rejects or computes wrongly.
EXPORT_LAYERS: dict[type, Apply] = LAYERS | {
    spec.MaxPool2D: pool_operator,
    spec.LSTM: partial(lstm, scan=scan_unrolled),
}

LOSSES: dict[str, Callable[[Array, Array], Array]] = {
    "binary_cross_entropy": lambda z, y: optax.sigmoid_binary_cross_entropy(z[:, 0], y.astype(z.dtype)).mean(),
    "softmax_cross_entropy": lambda z, y: optax.softmax_cross_entropy_with_integer_labels(z, y).mean(),
    "mean_squared_error": lambda z, y: optax.squared_error(z, y).mean(),
}


def build(task: spec.Task, layers: Mapping[type, Apply] = LAYERS) -> Network:
    """Return the network, a function of parameters and input."""

    def network(parameters: Parameters, x: Array) -> Array:
        if x.ndim == 4:
            x = x.transpose(0, 2, 3, 1)
        for name, layer, shape in task.walk():
            p = {short: parameters[f"{name}.{short}"] for short in layer.parameters(shape)}
            x = layers[type(layer)](layer, p, x)
        return x.transpose(0, 3, 1, 2) if x.ndim == 4 else x

    return network
