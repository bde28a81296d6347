"""The reference model: every task in NumPy, as plain formulas, in float64 by default.

It is slow and simple, and runs without an environment of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from crossframe.backends import contract
from crossframe.backends.contract import Batch, Dialect, FrameworkSettings, Unsupported, check_device
from crossframe.backends.reference.layers import LAYERS
from crossframe.backends.reference.losses import LOSSES
from crossframe.backends.reference.optimizers import OPTIMIZERS, Update, clip, make_rounding, scheduled_rate
from crossframe.tasks.spec import Arrays, Task

MODES: tuple[str, ...] = ("numpy",)
DIALECT: Dialect = {}


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


class Model:
    """`contract.Model` in NumPy, with the additional methods `outputs`, `loss` and `gradients`."""

    layers = LAYERS

    def __init__(self, task: Task, weights: Arrays, dtype: np.dtype, dialect: Dialect) -> None:
        self.task = task
        self.dtype = dtype
        self.dialect = dialect
        self.parameters = {name: np.array(weights[name], dtype) for name in task.parameters()}
        self.state: dict[str, Arrays] = {name: {} for name in self.parameters}
        self.updates = 0

    def put(self, x: np.ndarray, y: np.ndarray) -> Batch:
        return x.astype(self.dtype), y if y.ndim == 1 else y.astype(self.dtype)

    def train(self, batches: Sequence[Batch]) -> None:
        for x, y in batches:
            self.update(self.gradients(x, y))

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

    def layer_parameters(self, layer_name: str) -> Arrays:
        """Return short name -> value, for the parameters of one layer."""
        prefix = layer_name + "."
        return {name[len(prefix) :]: value for name, value in self.parameters.items() if name.startswith(prefix)}

    def outputs(self, x: np.ndarray) -> list[np.ndarray]:
        """Return the output of each layer, in order."""
        outputs = []
        for name, layer, _ in self.task.walk():
            x, _ = self.layers[type(layer)][0](layer, self.layer_parameters(name), x)
            outputs.append(x)
        return outputs

    def gradients(self, x: np.ndarray, y: np.ndarray) -> Arrays:
        """Return full parameter name -> gradient of the mean loss, by backpropagation."""
        caches = []
        for name, layer, _ in self.task.walk():
            x, cache = self.layers[type(layer)][0](layer, self.layer_parameters(name), x)
            caches.append((name, layer, cache))
        _, dx = LOSSES[self.task.loss](x, y)
        gradients: Arrays = {}
        for name, layer, cache in reversed(caches):
            dx, parts = self.layers[type(layer)][1](layer, self.layer_parameters(name), cache, dx)
            gradients |= {f"{name}.{short}": gradient for short, gradient in parts.items()}
        return {name: gradients[name] for name in self.parameters}

    def loss(self, x: np.ndarray, y: np.ndarray) -> float:
        return LOSSES[self.task.loss](self.predict(x), y)[0]

    def predict(self, x: np.ndarray) -> np.ndarray:
        return self.outputs(x.astype(self.dtype))[-1]

    def weights(self) -> Arrays:
        return {name: value.copy() for name, value in self.parameters.items()}

    def buffers(self) -> Arrays:
        return {}

    def sync(self) -> None:
        """Do nothing: NumPy is synchronous."""

    def save(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        state = {f"{name}/{slot}": value for name, slots in self.state.items() for slot, value in slots.items()}
        np.savez(path / "weights.npz", **self.parameters)  # type: ignore[arg-type]
        np.savez(path / "optimizer.npz", updates=np.array(self.updates), **state)  # type: ignore[arg-type]

    def load(self, path: Path) -> None:
        with np.load(path / "weights.npz", allow_pickle=False) as archive:
            self.parameters = {name: archive[name] for name in self.parameters}
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
