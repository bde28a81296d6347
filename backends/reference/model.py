"""The oracle: every task in NumPy, float64, one plain formula after another. Slow, obvious, always installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from crossframe.backends.contract import Batch, Operator, Unsupported, Work
from crossframe.backends.reference.layers import LAYERS
from crossframe.backends.reference.losses import LOSSES
from crossframe.backends.reference.optimizers import OPTIMIZERS, clip, held, scheduled_rate
from crossframe.tasks.spec import Arrays, Task

MODES = ("numpy",)
DIALECT: dict[str, Any] = {}


def prepare(
    task: Task,
    weights: Arrays,
    device: str,
    mode: str = "numpy",
    precision: str = "float64",
    dialect: Mapping[str, Any] = DIALECT,
) -> Model:
    """The model, ready to train. Beyond the contract it takes the `dialect` that it shall compute."""
    if device != "cpu":
        raise Unsupported(f"NumPy has no device but cpu, so not {device}")
    if precision not in ("float32", "float64"):
        raise Unsupported(f"NumPy has no matrix product in {precision}")
    return Model(task, weights, np.dtype(precision), dialect)


class Model:
    """`crossframe.backends.contract.Model` in NumPy; also `outputs`, `loss` and `gradients` for who wants to look inside."""

    layers = LAYERS

    def __init__(self, task: Task, weights: Arrays, dtype: np.dtype, dialect: Mapping[str, Any]):
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
        """Clip, decay, step: the order that `crossframe.tasks.spec.Task` gives."""
        if self.task.clip_norm is not None:
            gradients = clip(gradients, self.task.clip_norm, self.dialect.get("clip_epsilon", 0.0))
        rule, settings = OPTIMIZERS[type(self.task.optimizer)], self.task.optimizer
        rate = scheduled_rate(self.task, self.updates)
        decay = held(settings, self.dialect)(settings.weight_decay)
        self.updates += 1
        for name, gradient in gradients.items():
            gradient = gradient + decay * self.parameters[name]
            step = rule(settings, rate, gradient, self.state[name], self.updates, self.dialect)
            self.parameters[name] = self.parameters[name] - step

    def own(self, layer_name: str) -> Arrays:
        """The parameters of one layer, by their short names."""
        prefix = layer_name + "."
        return {name[len(prefix) :]: value for name, value in self.parameters.items() if name.startswith(prefix)}

    def outputs(self, x: np.ndarray) -> list[np.ndarray]:
        """The output of every layer in turn."""
        seen = []
        for name, layer, _ in self.task.walk():
            x, _ = self.layers[type(layer)][0](layer, self.own(name), x)
            seen.append(x)
        return seen

    def gradients(self, x: np.ndarray, y: np.ndarray) -> Arrays:
        """Full parameter name -> gradient of the mean loss, by backpropagation."""
        trail = []
        for name, layer, _ in self.task.walk():
            x, kept = self.layers[type(layer)][0](layer, self.own(name), x)
            trail.append((name, layer, kept))
        _, flowing = LOSSES[self.task.loss](x, y)
        found: Arrays = {}
        for name, layer, kept in reversed(trail):
            flowing, gradients = self.layers[type(layer)][1](layer, self.own(name), kept, flowing)
            found |= {f"{name}.{short}": gradient for short, gradient in gradients.items()}
        return {name: found[name] for name in self.parameters}

    def loss(self, x: np.ndarray, y: np.ndarray) -> float:
        return LOSSES[self.task.loss](self.predict(x), y)[0]

    def predict(self, x: np.ndarray) -> np.ndarray:
        return self.outputs(x.astype(self.dtype))[-1]

    def weights(self) -> Arrays:
        return {name: value.copy() for name, value in self.parameters.items()}

    def sync(self) -> None:
        """NumPy has finished when it returns."""

    def save(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        state = {f"{name}/{slot}": value for name, slots in self.state.items() for slot, value in slots.items()}
        np.savez(path / "weights.npz", **self.parameters)  # type: ignore[arg-type]
        np.savez(path / "optimizer.npz", updates=np.array(self.updates), **state)  # type: ignore[arg-type]

    def load(self, path: Path) -> None:
        with np.load(path / "weights.npz", allow_pickle=False) as saved:
            self.parameters = {name: saved[name] for name in self.parameters}
        with np.load(path / "optimizer.npz", allow_pickle=False) as saved:
            self.updates = int(saved["updates"])
            for key in saved.files:
                if key != "updates":
                    name, slot = key.split("/")
                    self.state[name][slot] = saved[key]

    def export_onnx(self, path: Path, opset: int) -> None:
        raise Unsupported("NumPy has no ONNX exporter of its own")

    def placement(self) -> str:
        return "cpu"  # NumPy has no other

    def device_peak_bytes(self) -> int | None:
        return None

    def settings(self) -> dict[str, Any]:
        return {"threads": None, "float32_products": "float32"}

    def profile(self, batches: Sequence[Batch]) -> list[Operator]:
        from crossframe.backends.reference.profiler import operators

        return operators(self, batches)

    def ceiling(self, side: int, size: int) -> tuple[Work, Work]:
        from crossframe.backends.reference.ceiling import works

        return works(self, side, size)
