"""The spec's layers and losses in JAX: pure functions of parameters that keep the spec's names and layouts.

Within the network images are channels last, `(batch, height, width, channels)`: on a CPU a step of the cnn is a third
faster so. `forward` turns them at its doors and Flatten turns them back, so that no parameter needs converting.
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


def dense(layer: spec.Dense, p: Parameters, x: Array) -> Array:
    return x @ p["w"] + p["b"]


def conv(layer: spec.Conv2D, p: Parameters, x: Array) -> Array:
    around = [(layer.padding, layer.padding)] * 2
    return lax.conv_general_dilated(x, p["w"], (1, 1), around, dimension_numbers=("NHWC", "OIHW", "NHWC")) + p["b"]


def pool(layer: spec.MaxPool2D, p: Parameters, x: Array) -> Array:
    """Not lax.reduce_window, whose gradient on a CPU takes 20 ms where this one takes 1 (batch 64 of 32 x 24 x 24)."""
    batch, height, width, channels = x.shape
    tiles = x.reshape(batch, height // layer.size, layer.size, width // layer.size, layer.size, channels)
    columns = reduce(first_maximum, [tiles[:, :, :, :, column] for column in range(layer.size)])
    return reduce(first_maximum, [columns[:, :, row] for row in range(layer.size)])


def first_maximum(a: Array, b: Array) -> Array:
    # Where both are equal the gradient goes to the first, as in the spec; jnp.maximum would share it out.
    return jnp.where(a >= b, a, b)


def lstm(layer: spec.LSTM, p: Parameters, x: Array, scan: Callable[..., Any] = lax.scan) -> Array:
    zero = jnp.zeros((x.shape[0], layer.units), x.dtype)
    weights = jnp.concatenate([p["w_x"], p["w_h"]])

    # One product with both weights, and all but it computed anew in the backward pass: on a CPU faster than x @ w_x
    # for all steps at once before the loop, since less is stored and read again. (Unrolling the loop gains nothing.)
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
    from flax import linen  # here, since it takes long to import and training has no need of it

    return linen.max_pool(x, window_shape=(layer.size,) * 2, strides=(layer.size,) * 2)


def unrolled(step: Callable[[Any, Array], tuple[Any, Array]], state: Any, xs: Array) -> tuple[Any, Array]:
    """lax.scan as a Python loop."""
    ys = []
    for x in jnp.unstack(xs):
        state, y = step(state, x)
        ys.append(y)
    return state, jnp.stack(ys)


# The same functions, in the form that jax2onnx makes the better file of: flax's pooling is the one that becomes a
# MaxPool over two axes (lax.reduce_window becomes one over four, which onnxruntime refuses), and lax.scan becomes a
# Loop, which tract and onnx's evaluator refuse and OpenCV computes wrongly or refuses.
EXPORTED: dict[type, Apply] = LAYERS | {spec.MaxPool2D: pool_operator, spec.LSTM: partial(lstm, scan=unrolled)}

LOSSES: dict[str, Callable[[Array, Array], Array]] = {
    "binary_cross_entropy": lambda z, y: optax.sigmoid_binary_cross_entropy(z[:, 0], y.astype(z.dtype)).mean(),
    "softmax_cross_entropy": lambda z, y: optax.softmax_cross_entropy_with_integer_labels(z, y).mean(),
    "mean_squared_error": lambda z, y: optax.squared_error(z, y).mean(),
}


def forward(task: spec.Task, parameters: Parameters, x: Array, layers: Mapping[type, Apply] = LAYERS) -> Array:
    """x (batch, *input_shape) -> (batch, *output_shape)."""
    if x.ndim == 4:
        x = x.transpose(0, 2, 3, 1)
    for name, layer, shape in task.walk():
        own = {short: parameters[f"{name}.{short}"] for short in layer.parameters(shape)}
        x = layers[type(layer)](layer, own, x)
    return x.transpose(0, 3, 1, 2) if x.ndim == 4 else x
