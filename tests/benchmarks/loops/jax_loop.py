"""The four tasks as a JAX tutorial would write them: Flax modules, an optax optimizer, a loop of jitted steps."""

from functools import partial

import jax
import numpy as np
import optax
from flax import linen as nn


class Dense(nn.Module):
    """Dense layers with a ReLU behind each but the last and those named in `linear`."""

    sizes: tuple[int, ...]
    linear: tuple[int, ...] = ()

    @nn.compact
    def __call__(self, x):
        for place, size in enumerate(self.sizes):
            x = nn.Dense(size)(x)
            if place < len(self.sizes) - 1 and place not in self.linear:
                x = nn.relu(x)
        return x


class Convolutional(nn.Module):
    @nn.compact
    def __call__(self, x):
        for filters in (32, 64):
            x = nn.relu(nn.Conv(filters, (3, 3))(x))
            x = nn.max_pool(x, window_shape=(2, 2), strides=(2, 2))
        return Dense((128, 10))(x.reshape(len(x), -1))


class Sequence(nn.Module):
    @nn.compact
    def __call__(self, x):
        for _ in range(2):
            x = nn.RNN(nn.OptimizedLSTMCell(256))(x)
        return nn.Dense(10)(x[:, -1])


def binary_cross_entropy(z, y):
    return optax.sigmoid_binary_cross_entropy(z[:, 0], y.astype(z.dtype)).mean()


def cross_entropy(z, y):
    return optax.softmax_cross_entropy_with_integer_labels(z, y).mean()


def squared_error(z, y):
    return optax.squared_error(z, y).mean()


NETWORKS = {
    "circle": (Dense((16, 1)), binary_cross_entropy, optax.adam(0.01)),
    "cnn": (Convolutional(), cross_entropy, optax.sgd(0.01, momentum=0.9)),
    "lstm": (Sequence(), cross_entropy, optax.adam(0.001)),
    "autoencoder": (Dense((400, 200, 32, 200, 400, 784), linear=(2,)), squared_error, optax.adam(0.001)),
}
SHAPES = {"circle": (2,), "cnn": (24, 24, 3), "lstm": (28, 100), "autoencoder": (784,)}


class Loop:
    def __init__(self, task: str):
        network, loss, optimizer = NETWORKS[task]
        self.parameters = network.init(jax.random.key(0), np.zeros((1, *SHAPES[task]), np.float32))
        self.state = optimizer.init(self.parameters)

        @partial(jax.jit, donate_argnums=(0, 1))
        def step(parameters, state, x, y):
            gradients = jax.grad(lambda parameters: loss(network.apply(parameters, x), y))(parameters)
            updates, state = optimizer.update(gradients, state, parameters)
            return optax.apply_updates(parameters, updates), state

        self.step = step

    def put(self, x: np.ndarray, y: np.ndarray):
        return jax.device_put(x.transpose(0, 2, 3, 1) if x.ndim == 4 else x), jax.device_put(y)

    def train(self, batches) -> None:
        for x, y in batches:
            self.parameters, self.state = self.step(self.parameters, self.state, x, y)

    def sync(self) -> None:
        jax.block_until_ready((self.parameters, self.state))
