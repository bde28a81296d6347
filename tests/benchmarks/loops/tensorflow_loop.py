"""The four tasks as a TensorFlow tutorial would write them: a Keras model, its losses and optimizers, one step under
tf.function, a plain loop over the batches.
"""

import keras
import numpy as np
import tensorflow as tf
from keras import layers


def dense(*sizes: int, linear: tuple[int, ...] = ()) -> list[keras.Layer]:
    """Dense layers with a ReLU in each but the last and those named in `linear`."""
    last = len(sizes) - 1
    return [
        layers.Dense(size, activation=None if place == last or place in linear else "relu")
        for place, size in enumerate(sizes)
    ]


def convolutional() -> list[keras.Layer]:
    return [
        layers.Conv2D(32, 3, padding="same", activation="relu"), layers.MaxPooling2D(2),
        layers.Conv2D(64, 3, padding="same", activation="relu"), layers.MaxPooling2D(2),
        layers.Flatten(), *dense(128, 10),
    ]  # fmt: skip


class Loop:
    def __init__(self, task: str):
        self.loss: keras.Loss
        if task == "circle":
            self.network = keras.Sequential([keras.Input((2,)), *dense(16, 1)])
            self.loss = keras.losses.BinaryCrossentropy(from_logits=True)
        elif task == "cnn":
            self.network = keras.Sequential([keras.Input((24, 24, 3)), *convolutional()])
            self.loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        elif task == "lstm":
            recurrent = [layers.LSTM(256, return_sequences=True), layers.LSTM(256)]
            self.network = keras.Sequential([keras.Input((28, 100)), *recurrent, layers.Dense(10)])
            self.loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        else:
            self.network = keras.Sequential([keras.Input((784,)), *dense(400, 200, 32, 200, 400, 784, linear=(2,))])
            self.loss = keras.losses.MeanSquaredError()
        if task == "cnn":
            self.optimizer: keras.Optimizer = keras.optimizers.SGD(0.01, momentum=0.9)
        else:
            self.optimizer = keras.optimizers.Adam(0.01 if task == "circle" else 0.001)
        self.optimizer.build(self.network.trainable_variables)

    def put(self, x: np.ndarray, y: np.ndarray):
        x = np.moveaxis(x, 1, -1) if x.ndim == 4 else x
        y = y[:, None] if isinstance(self.loss, keras.losses.BinaryCrossentropy) else y
        return tf.constant(x), tf.constant(y)

    @tf.function
    def step(self, x, y):
        with tf.GradientTape() as tape:
            loss = self.loss(y, self.network(x, training=True))
        gradients = tape.gradient(loss, self.network.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.network.trainable_variables))

    def train(self, batches) -> None:
        for x, y in batches:
            self.step(x, y)

    def sync(self) -> None:
        self.network.trainable_variables[0].numpy()
