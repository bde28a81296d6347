"""The spec's layers and losses in Keras, channels last, and the conversion of each parameter."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from crossframe.backends.contract import Unsupported
from crossframe.tasks import spec
from crossframe.tasks.spec import SHORTCUT, Layer, Shape, walk_chain

Convert = Callable[[np.ndarray], np.ndarray]


class Flatten(keras.layers.Flatten):
    """(batch, height, width, channels) -> (batch, values), in the order of the spec: channels first."""

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return super().call(tf.transpose(x, (0, 3, 1, 2)) if len(x.shape) == 4 else x)


class Convolution(keras.layers.Conv2D):
    """Keras' convolution with a number of zeros for each side of its input: (above, below) and (left, right).

    Keras has the words `valid` and `same`, and the latter pads at the end where the stride is 2.
    """

    def __init__(self, around: spec.Around, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.zeros = [[0, 0], *map(list, around), [0, 0]]

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        sizes = zip(input_shape, self.zeros)
        return super().compute_output_shape(tuple(size if size is None else size + sum(zeros) for size, zeros in sizes))

    def convolution_op(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        if self.groups == 1:
            return tf.nn.conv2d(inputs, kernel, self.strides, self.zeros, dilations=self.dilation_rate)
        # On a CPU only XLA has groups, and Keras asks it for them.
        return super().convolution_op(tf.pad(inputs, self.zeros), kernel)


class LastStep(keras.layers.Layer):
    """(batch, steps, features) -> (batch, features): the last step only."""

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return x[:, -1]


# The same operations as in tf.nn.gelu, whose constants are float32 beside float64 inputs (5e-9).
def erf_gelu(x: tf.Tensor) -> tf.Tensor:
    return 0.5 * x * (1.0 + tf.math.erf(math.sqrt(0.5) * x))


def tanh_gelu(x: tf.Tensor) -> tf.Tensor:
    return 0.5 * x * (1.0 + tf.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def make_conv(layer: spec.Conv2D, **settings: Any) -> keras.Layer:
    """Return Keras' convolution where it has a word for the padding, else one with explicit zeros."""
    if layer.stride > 1 and layer.dilation > 1:
        raise Unsupported("Keras has no convolution with both a stride and a dilation")
    settings |= {"strides": layer.stride, "dilation_rate": layer.dilation, "groups": layer.groups}
    settings |= {"use_bias": layer.bias, "data_format": "channels_last"}
    words = {0: "valid"} | ({(layer.reach - 1) / 2: "same"} if layer.stride == 1 else {})
    if isinstance(layer.padding, int) and layer.padding in words:
        return keras.layers.Conv2D(layer.filters, layer.size, padding=words[layer.padding], **settings)
    return Convolution(layer.around, layer.filters, layer.size, **settings)


def make_norm(layer: spec.BatchNorm, dtype: str, **settings: Any) -> keras.Layer:
    """Return Keras' batch normalization; its numbers keep their 64 bits beside float64."""
    number = np.dtype(keras.DTypePolicy(dtype).variable_dtype).type
    return keras.layers.BatchNormalization(
        momentum=number(layer.momentum), epsilon=number(layer.epsilon), dtype=dtype, **settings
    )


# Layer -> its Keras layer; `settings` are name and dtype.
LAYERS: dict[type, Callable[..., keras.Layer]] = {
    spec.Dense: lambda layer, **settings: keras.layers.Dense(layer.units, **settings),
    spec.Conv2D: make_conv,
    spec.MaxPool2D: lambda layer, **settings: keras.layers.MaxPooling2D(
        layer.size, data_format="channels_last", **settings
    ),
    spec.AveragePool2D: lambda layer, **settings: keras.layers.AveragePooling2D(
        layer.size, data_format="channels_last", **settings
    ),
    spec.GlobalAveragePool: lambda layer, **settings: keras.layers.GlobalAveragePooling2D(
        data_format="channels_last", **settings
    ),
    spec.BatchNorm: make_norm,
    spec.ReLU: lambda layer, **settings: keras.layers.ReLU(**settings),
    spec.LeakyReLU: lambda layer, **settings: keras.layers.LeakyReLU(layer.slope, **settings),
    spec.ELU: lambda layer, **settings: keras.layers.ELU(**settings),
    spec.Sigmoid: lambda layer, **settings: keras.layers.Activation("sigmoid", **settings),
    spec.Tanh: lambda layer, **settings: keras.layers.Activation("tanh", **settings),
    spec.SiLU: lambda layer, **settings: keras.layers.Activation("silu", **settings),
    spec.GELU: lambda layer, **settings: keras.layers.Activation(
        tanh_gelu if layer.approximate else erf_gelu, **settings
    ),
    spec.Softplus: lambda layer, **settings: keras.layers.Activation("softplus", **settings),
    spec.Flatten: lambda layer, **settings: Flatten(**settings),
    spec.LSTM: lambda layer, **settings: keras.layers.LSTM(layer.units, return_sequences=True, **settings),
    spec.LastStep: lambda layer, **settings: LastStep(**settings),
}

LOSSES: dict[str, Callable[[tf.Tensor, tf.Tensor], tf.Tensor]] = {
    "binary_cross_entropy": lambda z, y: tf.reduce_mean(
        tf.nn.sigmoid_cross_entropy_with_logits(tf.cast(y, z.dtype), z[:, 0])
    ),
    "softmax_cross_entropy": lambda z, y: tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, z)),
    "mean_squared_error": lambda z, y: tf.reduce_mean(tf.math.squared_difference(z, y)),
}

# (kind, parameter or buffer) -> (path in the Keras layer, conversion from the spec to Keras, conversion back).
PARAMETERS: dict[tuple[str, str], tuple[str, Convert, Convert]] = {
    ("dense", "w"): ("kernel", np.asarray, np.asarray),
    ("dense", "b"): ("bias", np.asarray, np.asarray),
    ("conv", "w"): ("kernel", lambda w: w.transpose(2, 3, 1, 0), lambda w: w.transpose(3, 2, 0, 1)),
    ("conv", "b"): ("bias", np.asarray, np.asarray),
    ("norm", "scale"): ("gamma", np.asarray, np.asarray),
    ("norm", "shift"): ("beta", np.asarray, np.asarray),
    ("norm", "mean"): ("moving_mean", np.asarray, np.asarray),
    ("norm", "variance"): ("moving_variance", np.asarray, np.asarray),
    ("lstm", "w_x"): ("cell.kernel", np.asarray, np.asarray),
    ("lstm", "w_h"): ("cell.recurrent_kernel", np.asarray, np.asarray),
    ("lstm", "b"): ("cell.bias", np.asarray, np.asarray),
}


def channels_last(images: np.ndarray) -> np.ndarray:
    """Return (batch, channels, height, width) as (batch, height, width, channels); other arrays unchanged."""
    return np.moveaxis(images, 1, -1) if images.ndim == 4 else images


def channels_first(images: np.ndarray) -> np.ndarray:
    """Return the inverse of `channels_last`."""
    return np.moveaxis(images, -1, 1) if images.ndim == 4 else images


def build(task: spec.Task, dtype: str, cudnn: bool) -> keras.Model:
    """Return the network with layers named like those of the spec; its parameters are not set yet.

    `dtype` is a type or a policy of Keras; a policy may compute in another type than it stores.
    """
    shape = task.input_shape
    stored = keras.DTypePolicy(dtype).variable_dtype

    def chain(layers: Sequence[Layer], size: Shape, prefix: str, x: tf.Tensor) -> tf.Tensor:
        for name, layer, each in walk_chain(layers, size, prefix):
            if isinstance(layer, spec.Residual):
                body = chain(layer.body, each, f"{name}.", x)
                shortcut = chain(layer.shortcut, each, f"{name}.{SHORTCUT}.", x)
                x = keras.layers.Add(name=name, dtype=dtype)([body, shortcut])
            else:
                options = {"use_cudnn": "auto" if cudnn else False} if isinstance(layer, spec.LSTM) else {}
                x = LAYERS[type(layer)](layer, name=name, dtype=dtype, **options)(x)
        return x

    inputs = keras.Input((*shape[1:], shape[0]) if len(shape) == 3 else shape, dtype=stored)
    outputs = chain(task.layers, shape, "", inputs)
    if stored != dtype:  # outputs, and so the loss, are float32 again
        outputs = keras.layers.Activation("linear", name="outputs", dtype=stored)(outputs)
    return keras.Model(inputs, outputs)


def array_map(task: spec.Task) -> dict[str, tuple[str, str, Convert, Convert]]:
    """Return the spec's name of each parameter and buffer -> (layer, path in it, conversion to Keras, and back)."""
    return {
        f"{name}.{short}": (name, *PARAMETERS[layer.kind, short])
        for name, layer, shape in task.walk_leaves()
        for short in (*layer.parameters(shape), *layer.buffers(shape))
    }
