"""The four tasks as in a JAX tutorial: Flax modules, an optax optimizer, a loop of jitted steps.

Tuned, as for a GPU: all batches in one program, a scan over the steps, so that Python starts nothing in between.
"""

from collections.abc import Callable
from collections.abc import Sequence as Batches
from functools import partial
from typing import Any

import jax
import numpy as np
import optax
from flax import linen as nn

from crossframe.backends.contract import Batch


class Dense(nn.Module):
    """Dense layers with a ReLU after each except the last and those named in `linear`."""

    sizes: tuple[int, ...]
    linear: tuple[int, ...] = ()

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for index, size in enumerate(self.sizes):
            x = nn.Dense(size)(x)
            if index < len(self.sizes) - 1 and index not in self.linear:
                x = nn.relu(x)
        return x


class Convolutional(nn.Module):
    """The network of the task cnn."""

    scale: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for filters in (32, 64):
            x = nn.relu(nn.Conv(filters * self.scale, (3, 3))(x))
            x = nn.max_pool(x, window_shape=(2, 2), strides=(2, 2))
        return Dense((128 * self.scale, 10))(x.reshape(len(x), -1))


class Recurrent(nn.Module):
    """The network of the task lstm."""

    scale: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for _ in range(2):
            x = nn.RNN(nn.OptimizedLSTMCell(256 * self.scale))(x)
        return nn.Dense(10)(x[:, -1])


def autoencoder(k: int) -> nn.Module:
    return Dense((*(size * k for size in (400, 200, 32, 200, 400)), 784), linear=(2,))


def binary_cross_entropy(z: jax.Array, y: jax.Array) -> jax.Array:
    return optax.sigmoid_binary_cross_entropy(z[:, 0], y.astype(z.dtype)).mean()


def cross_entropy(z: jax.Array, y: jax.Array) -> jax.Array:
    return optax.softmax_cross_entropy_with_integer_labels(z, y).mean()


def squared_error(z: jax.Array, y: jax.Array) -> jax.Array:
    return optax.squared_error(z, y).mean()


NETWORKS: dict[str, tuple[Callable[[int], nn.Module], Callable[..., jax.Array], optax.GradientTransformation]] = {
    "circle": (lambda k: Dense((16 * k, 1)), binary_cross_entropy, optax.adam(0.01)),
    "cnn": (Convolutional, cross_entropy, optax.sgd(0.01, momentum=0.9)),
    "lstm": (Recurrent, cross_entropy, optax.adam(0.001)),
    "autoencoder": (autoencoder, squared_error, optax.adam(0.001)),
}
SHAPES = {"circle": (2,), "cnn": (24, 24, 3), "lstm": (28, 100), "autoencoder": (784,)}


class Loop:
    """A handwritten training loop."""

    def __init__(self, task: str, scale: int, device: str, tuned: bool) -> None:
        jax.config.update("jax_default_matmul_precision", "highest")  # no TF32, as in the backend
        kind, _, number = device.partition(":")
        self.device, self.tuned = jax.devices(kind)[int(number or 0)], tuned
        make_network, loss, optimizer = NETWORKS[task]
        network = make_network(scale)
        parameters = network.init(jax.random.key(0), np.zeros((1, *SHAPES[task]), np.float32))
        self.carry = jax.device_put((parameters, optimizer.init(parameters)), self.device)

        def step(carry: Any, batch: Batch) -> tuple[Any, None]:
            parameters, state = carry
            x, y = batch
            gradients = jax.grad(lambda parameters: loss(network.apply(parameters, x), y))(parameters)
            updates, state = optimizer.update(gradients, state, parameters)
            return (optax.apply_updates(parameters, updates), state), None

        self.step = jax.jit(step, donate_argnums=0)
        self.loop = jax.jit(partial(jax.lax.scan, step), donate_argnums=0)
        self.make_stack = jax.jit(lambda batches: jax.tree.map(lambda *parts: jax.numpy.stack(parts), *batches))
        self.stack: Any = None

    def put(self, x: np.ndarray, y: np.ndarray) -> Batch:
        return jax.device_put((x.transpose(0, 2, 3, 1) if x.ndim == 4 else x, y), self.device)

    def train(self, batches: Batches[Batch]) -> None:
        if self.tuned:
            if self.stack is None:  # once, since every call has the same batches
                self.stack = self.make_stack(batches)
            self.carry, _ = self.loop(self.carry, self.stack)
            return
        for batch in batches:
            self.carry, _ = self.step(self.carry, batch)

    def sync(self) -> None:
        jax.block_until_ready(self.carry)
