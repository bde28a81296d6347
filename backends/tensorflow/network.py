"""The spec's layers and losses in Keras, channels last, and the conversion of each parameter."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from crossframe.backends.contract import Unsupported
from crossframe.tasks import spec

Convert = Callable[[np.ndarray], np.ndarray]


class Flatten(keras.layers.Flatten):
    """(batch, height, width, channels) -> (batch, values), in the order of the spec: channels first."""

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return super().call(tf.transpose(x, (0, 3, 1, 2)) if len(x.shape) == 4 else x)


class LastStep(keras.layers.Layer):
    """(batch, steps, features) -> (batch, features): the last step only."""

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return x[:, -1]


def find_padding(layer: spec.Conv2D) -> str:
    """Return Keras' word for the padding of a layer; Unsupported if it has none."""
    words = {0: "valid", (layer.size - 1) / 2: "same"}
    if layer.padding not in words:
        raise Unsupported(f"Keras has no padding of {layer.padding} zeros around a window of {layer.size}")
    return words[layer.padding]


# Layer -> its Keras layer; `settings` are name and dtype.
LAYERS: dict[type, Callable[..., keras.Layer]] = {
    spec.Dense: lambda layer, **settings: keras.layers.Dense(layer.units, **settings),
    spec.Conv2D: lambda layer, **settings: keras.layers.Conv2D(
        layer.filters, layer.size, padding=find_padding(layer), data_format="channels_last", **settings
    ),
    spec.MaxPool2D: lambda layer, **settings: keras.layers.MaxPooling2D(
        layer.size, data_format="channels_last", **settings
    ),
    spec.ReLU: lambda layer, **settings: keras.layers.ReLU(**settings),
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

# (kind, parameter) -> (path in the Keras layer, conversion from the spec to Keras, conversion back).
PARAMETERS: dict[tuple[str, str], tuple[str, Convert, Convert]] = {
    ("dense", "w"): ("kernel", np.asarray, np.asarray),
    ("dense", "b"): ("bias", np.asarray, np.asarray),
    ("conv", "w"): ("kernel", lambda w: w.transpose(2, 3, 1, 0), lambda w: w.transpose(3, 2, 0, 1)),
    ("conv", "b"): ("bias", np.asarray, np.asarray),
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


def build(task: spec.Task, dtype: str, cudnn: bool) -> keras.Sequential:
    """Return the network with layers named like those of the spec; its parameters are not set yet.

    `dtype` is a type or a policy of Keras; a policy may compute in another type than it stores.
    """
    shape = task.input_shape
    stored = keras.DTypePolicy(dtype).variable_dtype
    network = keras.Sequential([keras.Input((*shape[1:], shape[0]) if len(shape) == 3 else shape, dtype=stored)])
    for name, layer, _ in task.walk():
        options = {"use_cudnn": "auto" if cudnn else False} if isinstance(layer, spec.LSTM) else {}
        network.add(LAYERS[type(layer)](layer, name=name, dtype=dtype, **options))
    if stored != dtype:  # outputs, and so the loss, are float32 again
        network.add(keras.layers.Activation("linear", name="outputs", dtype=stored))
    return network


def parameter_map(task: spec.Task) -> dict[str, tuple[str, str, Convert, Convert]]:
    """Return the spec's parameter name -> (layer, path in it, conversion to Keras, conversion back)."""
    return {
        f"{name}.{short}": (name, *PARAMETERS[layer.kind, short])
        for name, layer, shape in task.walk()
        for short in layer.parameters(shape)
    }
