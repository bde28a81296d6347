"""The reference model: every task in NumPy, as plain formulas, in float64 by default.

It is slow and simple, and runs without an environment of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from crossframe.backends import contract
from crossframe.backends.contract import Batch, Dialect, FrameworkSettings, Unsupported, check_device
from crossframe.backends.reference.layers import LAYERS
from crossframe.backends.reference.losses import LOSSES
from crossframe.backends.reference.normalization import norm_in_use, update_statistics
from crossframe.backends.reference.optimizers import OPTIMIZERS, Update, clip, make_rounding, scheduled_rate
from crossframe.tasks.spec import (
    SHORTCUT,
    Arrays,
    BatchNorm,
    Layer,
    LeakyReLU,
    Residual,
    Shape,
    Task,
    map_leaves,
    walk_chain,
)

MODES: tuple[str, ...] = ("numpy",)
DIALECT: Dialect = {}

Pass = list[tuple[str, Layer, Any]]  # (name, layer, cache) of each layer; the cache of a block: those of body, shortcut


def prepare(  # noqa: PLR0913  # the parameters of the contract, and the dialect
    task: Task,
    weights: Arrays,
    device: str,
    mode: str = "numpy",
    precision: str = "float64",
    dialect: Dialect = DIALECT,
) -> Model:
    """Return the model, ready to train. The additional argument `dialect` is the dialect to compute in."""
    check_device(device, f"NumPy {np.__version__}", lambda: 0)
    if precision not in ("float32", "float64"):
        raise Unsupported(f"NumPy has no matrix product in {precision}")
    return Model(task, weights, np.dtype(precision), dialect)


class TracedLayer(NamedTuple):
    """A layer with its inputs and outputs."""

    name: str
    layer: Layer
    inputs: np.ndarray
    outputs: np.ndarray


def select_parts(arrays: Arrays, layer_name: str) -> Arrays:
    """Return short name -> value, for the arrays of one layer."""
    prefix = layer_name + "."
    return {name[len(prefix) :]: value for name, value in arrays.items() if name.startswith(prefix)}


def apply_dialect(task: Task, dialect: Dialect) -> Task:
    """Return the task with the settings of its layers as a framework has them."""
    if dialect.get("leaky_relu_slope") != "float32":
        return task

    def change(layer: Layer) -> Layer:
        return LeakyReLU(float(np.float32(layer.slope))) if isinstance(layer, LeakyReLU) else layer

    return replace(task, layers=map_leaves(task.layers, change))


class Model:
    """`contract.Model` in NumPy, with the additional methods `trace_layers`, `loss` and `gradients`."""

    layers = LAYERS

    def __init__(self, task: Task, weights: Arrays, dtype: np.dtype, dialect: Dialect) -> None:
        self.task = apply_dialect(task, dialect)
        self.dtype = dtype
        self.dialect = dialect
        self.parameters = {name: np.array(weights[name], dtype) for name in task.parameters()}
        self.statistics = {name: np.array(weights[name], dtype) for name in task.buffers()}
        self.normalized: dict[str, tuple[BatchNorm, np.ndarray]] = {}  # name -> layer and its last input in training
        self.state: dict[str, Arrays] = {name: {} for name in self.parameters}
        self.updates = 0

    def put(self, x: np.ndarray, y: np.ndarray) -> Batch:
        return x.astype(self.dtype), y if y.ndim == 1 else y.astype(self.dtype)

    def train(self, batches: Sequence[Batch]) -> None:
        for x, y in batches:
            self.update(self.gradients(x, y))
            for name, (layer, inputs) in self.normalized.items():
                buffers = select_parts(self.statistics, name)
                changed = update_statistics(layer, buffers, inputs, self.dialect)
                self.statistics |= {f"{name}.{short}": value for short, value in changed.items()}

    def update(self, gradients: Arrays) -> None:
        """Do one update in the order of `crossframe.tasks.spec.Task`: clipping, decay, step."""
        if self.task.clip_norm is not None:
            gradients = clip(gradients, self.task.clip_norm, float(self.dialect.get("clip_epsilon", 0.0)))
        rule, settings = OPTIMIZERS[type(self.task.optimizer)], self.task.optimizer
        decay = make_rounding(settings, self.dialect)(settings.weight_decay)
        update = Update(self.updates + 1, scheduled_rate(self.task, self.updates), self.dialect)
        self.updates += 1
        for name, gradient in gradients.items():
            gradient = gradient + decay * self.parameters[name]
            step = rule(settings, update, gradient, self.state[name])
            self.parameters[name] = self.parameters[name] - step

    def forward(self, layers: Sequence[Layer], shape: Shape, prefix: str, x: np.ndarray) -> tuple[np.ndarray, Pass]:
        """Return the outputs of a sequence of layers in training, and the caches for `backward`."""
        caches: Pass = []
        for name, layer, size in walk_chain(layers, shape, prefix):
            if isinstance(layer, Residual):
                body, body_pass = self.forward(layer.body, size, f"{name}.", x)
                shortcut, shortcut_pass = self.forward(layer.shortcut, size, f"{name}.{SHORTCUT}.", x)
                x, cache = body + shortcut, (body_pass, shortcut_pass)
            else:
                if isinstance(layer, BatchNorm):
                    self.normalized[name] = (layer, x)
                x, cache = self.layers[type(layer)][0](layer, select_parts(self.parameters, name), x)
            caches.append((name, layer, cache))
        return x, caches

    def backward(self, caches: Pass, dy: np.ndarray) -> tuple[np.ndarray, Arrays]:
        """Return the gradients of the input and of the parameters of a sequence of layers."""
        gradients: Arrays = {}
        for name, layer, cache in reversed(caches):
            if isinstance(layer, Residual):
                (dy, body), (dx, shortcut) = (self.backward(each, dy) for each in cache)
                dy, parts = dy + dx, body | shortcut
            else:
                dy, short = self.layers[type(layer)][1](layer, select_parts(self.parameters, name), cache, dy)
                parts = {f"{name}.{key}": gradient for key, gradient in short.items()}
            gradients |= parts
        return dy, gradients

    def infer(
        self, layers: Sequence[Layer], shape: Shape, prefix: str, x: np.ndarray, traced: list[TracedLayer]
    ) -> np.ndarray:
        """Return the outputs of a sequence of layers in use; add the layers that hold no others to `traced`."""
        for name, layer, size in walk_chain(layers, shape, prefix):
            if isinstance(layer, Residual):
                body = self.infer(layer.body, size, f"{name}.", x, traced)
                x = body + self.infer(layer.shortcut, size, f"{name}.{SHORTCUT}.", x, traced)
                continue
            parts = select_parts(self.parameters, name)
            if isinstance(layer, BatchNorm):
                y = norm_in_use(layer, parts | select_parts(self.statistics, name), x)
            else:
                y, _ = self.layers[type(layer)][0](layer, parts, x)
            traced.append(TracedLayer(name, layer, x, y))
            x = y
        return x

    def trace_layers(self, x: np.ndarray) -> list[TracedLayer]:
        """Return inputs and outputs of each layer that holds no others, in use, in order."""
        traced: list[TracedLayer] = []
        self.infer(self.task.layers, self.task.input_shape, "", x, traced)
        return traced

    def gradients(self, x: np.ndarray, y: np.ndarray) -> Arrays:
        """Return full parameter name -> gradient of the mean loss, by backpropagation."""
        outputs, caches = self.forward(self.task.layers, self.task.input_shape, "", x)
        _, gradients = self.backward(caches, LOSSES[self.task.loss](outputs, y)[1])
        return {name: gradients[name] for name in self.parameters}

    def loss(self, x: np.ndarray, y: np.ndarray) -> float:
        """Return the mean loss in training, whose gradients are `gradients`."""
        outputs, _ = self.forward(self.task.layers, self.task.input_shape, "", x)
        return LOSSES[self.task.loss](outputs, y)[0]

    def predict(self, x: np.ndarray) -> np.ndarray:
        return self.infer(self.task.layers, self.task.input_shape, "", x.astype(self.dtype), [])

    def weights(self) -> Arrays:
        return {name: value.copy() for name, value in self.parameters.items()}

    def buffers(self) -> Arrays:
        return {name: value.copy() for name, value in self.statistics.items()}

    def sync(self) -> None:
        """Do nothing: NumPy is synchronous."""

    def save(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        state = {f"{name}/{slot}": value for name, slots in self.state.items() for slot, value in slots.items()}
        np.savez(path / "weights.npz", **self.parameters, **self.statistics)  # type: ignore[arg-type]
        np.savez(path / "optimizer.npz", updates=np.array(self.updates), **state)  # type: ignore[arg-type]

    def load(self, path: Path) -> None:
        with np.load(path / "weights.npz", allow_pickle=False) as archive:
            self.parameters = {name: archive[name] for name in self.parameters}
            self.statistics = {name: archive[name] for name in self.statistics}
        with np.load(path / "optimizer.npz", allow_pickle=False) as archive:
            self.updates = int(archive["updates"])
            self.state = {name: {} for name in self.parameters}
            for key in archive.files:
                if key != "updates":
                    name, slot = key.split("/")
                    self.state[name][slot] = archive[key]

    def export_onnx(self, path: Path, opset: int) -> None:
        raise Unsupported("NumPy has no ONNX exporter")

    def placement(self) -> str:
        return "cpu"

    def device_peak_bytes(self) -> int | None:
        return None

    def device_reserved_bytes(self) -> int | None:
        return None

    def settings(self) -> FrameworkSettings:
        return FrameworkSettings(threads=None, float32_products="float32")


_: type[contract.Model] = Model
