"""A layer of the framework in place of the right one."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from crossframe.backends.contract import Batch
from crossframe.tasks import spec
from crossframe.tasks.spec import Arrays, Task

from .frameworks import replace_entries
from .wrappers import Entry, Mistake, Prepare, Wrapper

RELU = ("circle", "cnn", "autoencoder")


def torch_layer(make: Callable[[Any], Any]) -> Callable[[], Any]:
    """Return a function that makes torch's layer; `make` gets `torch.nn`."""

    def find() -> Any:
        from torch import nn

        return lambda layer, shape: make(nn)

    return find


def keras_layer(make: Callable[[Any, dict[str, Any]], Any]) -> Callable[[], Any]:
    def find() -> Any:
        import keras

        return lambda layer, **settings: make(keras.layers, settings)

    return find


def gluon_layer(make: Callable[[Any], Any]) -> Callable[[], Any]:
    def find() -> Any:
        from mxnet.gluon import nn

        return lambda layer, shape: make(nn)

    return find


def jax_layer(apply: Callable[[Any, Any], Any]) -> Callable[[], Any]:
    """Return a function that makes a layer of JAX: `apply(jax.nn, x)`."""

    def find() -> Any:
        import jax

        return lambda layer, p, x: apply(jax.nn, x)

    return find


def average_tiles(nn: Any, x: Any) -> Any:
    batch, height, width, channels = x.shape
    return x.reshape(batch, height // 2, 2, width // 2, 2, channels).mean(axis=(2, 4))


# Mistake -> kind of layer and, for each framework, its own layer in place of the right one.
OTHER_LAYERS: dict[str, tuple[type, dict[str, Callable[[], Any]]]] = {
    "relu6": (
        spec.ReLU,
        {
            "torch": torch_layer(lambda nn: nn.Hardtanh(0.0, 1.0)),
            "tensorflow": keras_layer(lambda layers, settings: layers.ReLU(max_value=1.0, **settings)),
            "mxnet": gluon_layer(lambda nn: nn.HybridLambda(lambda functions, x: functions.clip(x, 0.0, 1.0))),
            "jax": jax_layer(lambda nn, x: nn.relu(x).clip(0.0, 1.0)),
        },
    ),
    "leaky_relu": (
        spec.ReLU,
        {
            "torch": torch_layer(lambda nn: nn.LeakyReLU(0.001)),
            "tensorflow": keras_layer(lambda layers, settings: layers.LeakyReLU(negative_slope=0.001, **settings)),
            "mxnet": gluon_layer(lambda nn: nn.LeakyReLU(0.001)),
            "jax": jax_layer(lambda nn, x: nn.leaky_relu(x, 0.001)),
        },
    ),
    "gelu": (
        spec.ReLU,
        {
            "torch": torch_layer(lambda nn: nn.GELU()),
            "tensorflow": keras_layer(lambda layers, settings: layers.Activation("gelu", **settings)),
            "mxnet": gluon_layer(lambda nn: nn.GELU()),
            "jax": jax_layer(lambda nn, x: nn.gelu(x)),
        },
    ),
    "softplus": (
        spec.ReLU,
        {
            "torch": torch_layer(lambda nn: nn.Softplus()),
            "tensorflow": keras_layer(lambda layers, settings: layers.Activation("softplus", **settings)),
            "mxnet": gluon_layer(lambda nn: nn.Activation("softrelu")),
            "jax": jax_layer(lambda nn, x: nn.softplus(x)),
        },
    ),
    "average_pool": (
        spec.MaxPool2D,
        {
            "torch": torch_layer(lambda nn: nn.AvgPool2d(2)),
            "tensorflow": keras_layer(
                lambda layers, settings: layers.AveragePooling2D(2, data_format="channels_last", **settings)
            ),
            "mxnet": gluon_layer(lambda nn: nn.AvgPool2D(2)),
            "jax": jax_layer(average_tiles),
        },
    ),
}


def use_layer(variant: str) -> Mistake:
    """Return a mistake that builds the network with another layer of the framework.

    The task gets another name, since JAX keeps its programs by task; tracing happens while the table is changed.
    """
    kind, layers = OTHER_LAYERS[variant]

    class OtherLayer(Wrapper):
        def __init__(self, prepare_correct: Prepare, task: Task, weights: Arrays) -> None:
            self.framework = os.environ["MISTAKES_WRAP"].rpartition(".")[2]
            self.entries = {kind: layers[self.framework]()}

            with replace_entries(self.framework, "LAYERS", self.entries):
                super().__init__(prepare_correct, replace(task, name=f"{task.name} {variant}"), weights)

        def train(self, batches: Sequence[Batch]) -> None:
            with replace_entries(self.framework, "LAYERS", self.entries):
                self.model.train(batches)

        def predict(self, x: np.ndarray) -> np.ndarray:
            with replace_entries(self.framework, "LAYERS", self.entries):
                return self.model.predict(x)

    return OtherLayer


MISTAKES: dict[str, Entry] = {
    f"layer_{name}": Entry(
        use_layer(name),
        f"{name.replace('_', ' ')} in place of {kind.__name__}",
        ("cnn",) if kind is spec.MaxPool2D else RELU,
        ("forward", "gradient"),
    )
    for name, (kind, _) in OTHER_LAYERS.items()
}
