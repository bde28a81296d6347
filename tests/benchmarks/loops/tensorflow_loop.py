"""The four tasks as in a TensorFlow tutorial: a Keras model, its losses and optimizers, a step under tf.function.

Tuned: the step is compiled by XLA, except for an LSTM on a GPU, since XLA cannot use cuDNN's kernel.
"""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from crossframe.backends.contract import Batch


def dense(*sizes: int, linear: tuple[int, ...] = ()) -> list[keras.Layer]:
    """Dense layers with a ReLU in each except the last and those named in `linear`."""
    last = len(sizes) - 1
    return [
        layers.Dense(size, activation=None if index == last or index in linear else "relu")
        for index, size in enumerate(sizes)
    ]


def convolutional(k: int) -> list[keras.Layer]:
    return [
        layers.Conv2D(32 * k, 3, padding="same", activation="relu"), layers.MaxPooling2D(2),
        layers.Conv2D(64 * k, 3, padding="same", activation="relu"), layers.MaxPooling2D(2),
        layers.Flatten(), *dense(128 * k, 10),
    ]  # fmt: skip


def network_and_loss(task: str, k: int) -> tuple[keras.Sequential, keras.Loss]:
    if task == "circle":
        network = [keras.Input((2,)), *dense(16 * k, 1)]
        return keras.Sequential(network), keras.losses.BinaryCrossentropy(from_logits=True)
    if task == "cnn":
        network = [keras.Input((24, 24, 3)), *convolutional(k)]
        return keras.Sequential(network), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    if task == "lstm":
        recurrent = [layers.LSTM(256 * k, return_sequences=True), layers.LSTM(256 * k)]
        network = [keras.Input((28, 100)), *recurrent, layers.Dense(10)]
        return keras.Sequential(network), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    hidden = [size * k for size in (400, 200, 32, 200, 400)]
    network = [keras.Input((784,)), *dense(*hidden, 784, linear=(2,))]
    return keras.Sequential(network), keras.losses.MeanSquaredError()


class Loop:
    """A handwritten training loop."""

    def __init__(self, task: str, scale: int, device: str, tuned: bool) -> None:
        tf.config.experimental.enable_tensor_float_32_execution(False)  # as in the backend
        self.device = device.replace("cuda", "GPU")
        with tf.device(self.device):
            self.network, self.loss = network_and_loss(task, scale)
            if task == "cnn":
                self.optimizer: keras.Optimizer = keras.optimizers.SGD(0.01, momentum=0.9)
            else:
                self.optimizer = keras.optimizers.Adam(0.01 if task == "circle" else 0.001)
            self.optimizer.build(self.network.trainable_variables)
        xla = tuned and (task != "lstm" or device == "cpu")
        self.step = tf.function(self.update, jit_compile=xla, reduce_retracing=True)

    def put(self, x: np.ndarray, y: np.ndarray) -> Batch:
        x = np.moveaxis(x, 1, -1) if x.ndim == 4 else x
        y = y[:, None] if isinstance(self.loss, keras.losses.BinaryCrossentropy) else y
        with tf.device(self.device):
            return tf.constant(x), tf.constant(y)

    def update(self, x: tf.Tensor, y: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            loss = self.loss(y, self.network(x, training=True))
        gradients = tape.gradient(loss, self.network.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.network.trainable_variables))

    def train(self, batches: Sequence[Batch]) -> None:
        with tf.device(self.device):
            for x, y in batches:
                self.step(x, y)

    def sync(self) -> None:
        self.network.trainable_variables[0].numpy()
