"""The spec's layers and losses in JAX: pure functions of parameters that keep the spec's names and layouts.

Within the network images are channels last, `(batch, height, width, channels)`, which makes a step of the cnn a third
faster on a CPU. The network transposes its input and output and Flatten transposes back: no parameter is converted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial, reduce
from typing import Any

import jax
import optax
from jax import Array, lax
from jax import numpy as jnp

from crossframe.tasks import spec
from crossframe.tasks.spec import SHORTCUT, Layer, Shape, walk_chain

Parameters = dict[str, Array]  # or buffers
Apply = Callable[[Any, Parameters, Array], Array]  # (layer, its parameters and buffers by short name, x) -> y
# (parameters, buffers, x (batch, *input_shape)) -> (batch, *output_shape), and in training the new buffers
Infer = Callable[[Parameters, Parameters, Array], Array]
Train = Callable[[Parameters, Parameters, Array], tuple[Array, Parameters]]


def dense(layer: spec.Dense, p: Parameters, x: Array) -> Array:
    return x @ p["w"] + p["b"]


def conv(layer: spec.Conv2D, p: Parameters, x: Array) -> Array:
    y = lax.conv_general_dilated(
        x,
        p["w"],
        (layer.stride, layer.stride),
        layer.around,
        rhs_dilation=(layer.dilation, layer.dilation),
        dimension_numbers=("NHWC", "OIHW", "NHWC"),
        feature_group_count=layer.groups,
    )
    return y + p["b"] if layer.bias else y


def pool(layer: spec.MaxPool2D, p: Parameters, x: Array) -> Array:
    # Not lax.reduce_window, whose gradient takes 20 ms on a CPU instead of 1 ms (batch 64 of 32 x 24 x 24).
    batch, height, width, channels = x.shape
    tiles = x.reshape(batch, height // layer.size, layer.size, width // layer.size, layer.size, channels)
    columns = reduce(first_maximum, [tiles[:, :, :, :, column] for column in range(layer.size)])
    return reduce(first_maximum, [columns[:, :, row] for row in range(layer.size)])


def average(layer: spec.AveragePool2D, p: Parameters, x: Array) -> Array:
    batch, height, width, channels = x.shape
    tiles = x.reshape(batch, height // layer.size, layer.size, width // layer.size, layer.size, channels)
    return tiles.mean((2, 4))


def norm_in_use(layer: spec.BatchNorm, p: Parameters, x: Array) -> Array:
    factor = p["scale"] * lax.rsqrt(p["variance"] + layer.epsilon)
    return (x - p["mean"]) * factor + p["shift"]


def norm(layer: spec.BatchNorm, p: Parameters, x: Array) -> tuple[Array, Parameters]:
    """Normalize by the statistics of the batch, which also change the running ones.

    Statistics of values in 16 bits are computed in the type of the running ones.
    """
    wide = x.astype(p["variance"].dtype)
    batch = {"mean": wide.mean((0, 1, 2)), "variance": wide.var((0, 1, 2))}
    momentum = layer.momentum
    changed = {name: momentum * p[name] + (1 - momentum) * lax.stop_gradient(value) for name, value in batch.items()}
    return norm_in_use(layer, p | batch, wide).astype(x.dtype), changed


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
    return (x.transpose(0, 3, 1, 2) if x.ndim == 4 else x).reshape(x.shape[0], -1)


LAYERS: dict[type, Apply] = {
    spec.Dense: dense,
    spec.Conv2D: conv,
    spec.MaxPool2D: pool,
    spec.AveragePool2D: average,
    spec.GlobalAveragePool: lambda layer, p, x: x.mean((1, 2)),
    spec.BatchNorm: norm_in_use,
    spec.ReLU: lambda layer, p, x: jax.nn.relu(x),
    spec.LeakyReLU: lambda layer, p, x: jax.nn.leaky_relu(x, layer.slope),
    spec.ELU: lambda layer, p, x: jax.nn.elu(x),
    spec.Sigmoid: lambda layer, p, x: jax.nn.sigmoid(x),
    spec.Tanh: lambda layer, p, x: jnp.tanh(x),
    spec.SiLU: lambda layer, p, x: jax.nn.silu(x),
    spec.GELU: lambda layer, p, x: jax.nn.gelu(x, layer.approximate),
    spec.Softplus: lambda layer, p, x: jax.nn.softplus(x),
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


def build(task: spec.Task, layers: Mapping[type, Apply] = LAYERS) -> Infer:
    """Return the network in use, a function of parameters, buffers and input."""

    def infer(parameters: Parameters, buffers: Parameters, x: Array) -> Array:
        return build_network(task, layers, training=False)(parameters, buffers, x)[0]

    return infer


def build_training(task: spec.Task) -> Train:
    """Return the network in training, a function of parameters, buffers and input that also returns the new buffers."""
    return build_network(task, LAYERS, training=True)


def build_network(task: spec.Task, table: Mapping[type, Apply], training: bool) -> Train:
    """Return the network as a function of parameters, buffers and input."""

    def apply(
        arrays: Parameters, layers: Sequence[Layer], size: Shape, prefix: str, x: Array
    ) -> tuple[Array, Parameters]:
        changed: Parameters = {}
        for name, layer, shape in walk_chain(layers, size, prefix):
            if isinstance(layer, spec.Residual):
                y, of_body = apply(arrays, layer.body, shape, f"{name}.", x)
                shortcut, of_shortcut = apply(arrays, layer.shortcut, shape, f"{name}.{SHORTCUT}.", x)
                x, changed = y + shortcut, changed | of_body | of_shortcut
                continue
            p = {short: arrays[f"{name}.{short}"] for short in (*layer.parameters(shape), *layer.buffers(shape))}
            if training and isinstance(layer, spec.BatchNorm):
                x, statistics = norm(layer, p, x)
                changed |= {f"{name}.{short}": value for short, value in statistics.items()}
            else:
                x = table[type(layer)](layer, p, x)
        return x, changed

    def network(parameters: Parameters, buffers: Parameters, x: Array) -> tuple[Array, Parameters]:
        if x.ndim == 4:
            x = x.transpose(0, 2, 3, 1)
        x, changed = apply(parameters | buffers, task.layers, task.input_shape, "", x)
        return x.transpose(0, 3, 1, 2) if x.ndim == 4 else x, changed

    return network
