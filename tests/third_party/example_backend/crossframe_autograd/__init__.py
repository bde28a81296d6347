"""HIPS autograd as a backend: a complete example in one file.

A backend is a module with `MODES`, `DIALECT` and `prepare(task, weights, device, mode, precision) -> Model`, and
optionally `profile` and `ceiling`: see `crossframe.backends.contract`. Weights and images have the layouts of
`crossframe.tasks.spec`; autograd computes on NumPy arrays, so nothing is converted.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import autograd.numpy as anp
import numpy as np
from autograd import grad

from crossframe.backends import contract
from crossframe.backends.contract import Batch, Dialect, FrameworkSettings, Unsupported, check_device
from crossframe.tasks import spec
from crossframe.tasks.spec import Arrays, Task

MODES: tuple[str, ...] = ("numpy",)
DIALECT: Dialect = {}  # every formula is that of the spec


def dense(layer: spec.Dense, p: Arrays, x: Any) -> Any:
    return x @ p["w"] + p["b"]


def conv(layer: spec.Conv2D, p: Arrays, x: Any) -> Any:
    size = layer.size
    x = anp.pad(x, ((0, 0), (0, 0), *layer.around), "constant")
    height, width = x.shape[2] - size + 1, x.shape[3] - size + 1
    # For each position in the kernel (batch, in, h', w') by (out, in): few operations for autograd to record.
    y = sum(
        anp.einsum("bihw,oi->bohw", x[:, :, row : row + height, column : column + width], p["w"][:, :, row, column])
        for row in range(size)
        for column in range(size)
    )
    return y + p["b"][:, None, None]


def pool(layer: spec.MaxPool2D, p: Arrays, x: Any) -> Any:
    size = layer.size
    tiles = [x[:, :, row::size, column::size] for row in range(size) for column in range(size)]
    best = tiles[0]
    for tile in tiles[1:]:
        # The first of equal values, as in every framework; autograd's own maximum would split the gradient.
        best = anp.where(tile > best, tile, best)
    return best


def sigmoid(x: Any) -> Any:
    return (1 + anp.tanh(x / 2)) / 2


def lstm(layer: spec.LSTM, p: Arrays, x: Any) -> Any:
    h = c = anp.zeros((x.shape[0], layer.units), x.dtype)
    hidden = []
    for t in range(x.shape[1]):
        i, f, g, o = anp.split(x[:, t] @ p["w_x"] + h @ p["w_h"] + p["b"], 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * anp.tanh(g)
        h = sigmoid(o) * anp.tanh(c)
        hidden.append(h)
    return anp.stack(hidden, axis=1)


LAYERS: dict[type, Any] = {
    spec.Dense: dense,
    spec.Conv2D: conv,
    spec.MaxPool2D: pool,
    spec.ReLU: lambda layer, p, x: anp.where(x > 0, x, 0),
    spec.Flatten: lambda layer, p, x: anp.reshape(x, (x.shape[0], -1)),
    spec.LSTM: lstm,
    spec.LastStep: lambda layer, p, x: x[:, -1],
}


def softmax_cross_entropy(z: Any, y: np.ndarray) -> Any:
    z = z - anp.max(z, axis=1, keepdims=True)
    picked = z[np.arange(len(y)), y]
    return anp.mean(anp.log(anp.sum(anp.exp(z), axis=1)) - picked)


LOSSES: dict[str, Any] = {
    "binary_cross_entropy": lambda z, y: anp.mean(anp.logaddexp(0, z[:, 0]) - y * z[:, 0]),
    "softmax_cross_entropy": softmax_cross_entropy,
    "mean_squared_error": lambda z, y: anp.mean((z - y) ** 2),
}


def sgd(s: spec.SGD, rate: float, g: np.ndarray, state: Arrays, k: int) -> np.ndarray:
    state["velocity"] = s.momentum * state.get("velocity", 0) + g
    return rate * state["velocity"]


def adam(s: spec.Adam, rate: float, g: np.ndarray, state: Arrays, k: int) -> np.ndarray:
    state["m"] = s.beta1 * state.get("m", 0) + (1 - s.beta1) * g
    state["v"] = s.beta2 * state.get("v", 0) + (1 - s.beta2) * g**2
    m, v = state["m"] / (1 - s.beta1**k), state["v"] / (1 - s.beta2**k)
    return rate * m / (np.sqrt(v) + s.epsilon)


def adagrad(s: spec.AdaGrad, rate: float, g: np.ndarray, state: Arrays, k: int) -> np.ndarray:
    state["sum"] = state.get("sum", 0) + g**2
    return rate * g / (np.sqrt(state["sum"]) + s.epsilon)


def rmsprop(s: spec.RMSProp, rate: float, g: np.ndarray, state: Arrays, k: int) -> np.ndarray:
    state["mean"] = s.decay * state.get("mean", 0) + (1 - s.decay) * g**2
    return rate * g / (np.sqrt(state["mean"]) + s.epsilon)


OPTIMIZERS: dict[type, Any] = {spec.SGD: sgd, spec.Adam: adam, spec.AdaGrad: adagrad, spec.RMSProp: rmsprop}


def prepare(task: Task, weights: Arrays, device: str, mode: str, precision: str) -> Model:
    """Return the model, ready to train; Unsupported if it cannot be prepared exactly as requested."""
    check_device(device, "autograd", lambda: 0)
    if precision not in ("float32", "float64"):
        raise Unsupported(f"NumPy has no matrix product in {precision}")
    for layer in task.layers:
        if type(layer) not in LAYERS or (isinstance(layer, spec.Conv2D) and layer != plain_conv(layer)):
            raise Unsupported(f"there is no {layer}")
    if isinstance(task.optimizer, spec.SGD) and task.optimizer.nesterov:
        raise Unsupported("there is no Nesterov momentum")
    return Model(task, weights, np.dtype(precision))


def plain_conv(layer: spec.Conv2D) -> spec.Conv2D:
    """Return the convolution of the same size that `conv` computes, without a stride, dilation or groups."""
    around = layer.padding if isinstance(layer.padding, int) else 0
    return spec.Conv2D(layer.filters, layer.size, around)


class Model:
    """`contract.Model` in autograd."""

    def __init__(self, task: Task, weights: Arrays, dtype: np.dtype) -> None:
        self.task, self.dtype = task, dtype
        self.parameters = {name: np.array(weights[name], dtype) for name in task.parameters()}
        self.state: dict[str, Arrays] = {name: {} for name in self.parameters}
        self.updates = 0
        self.gradients = grad(lambda p, x, y: LOSSES[task.loss](self.forward(p, x), y))

    def forward(self, parameters: Arrays, x: Any) -> Any:
        for name, layer, shape in self.task.walk():
            p = {short: parameters[f"{name}.{short}"] for short in layer.parameters(shape)}
            x = LAYERS[type(layer)](layer, p, x)
        return x

    def put(self, x: np.ndarray, y: np.ndarray) -> Batch:
        return x.astype(self.dtype), y if y.ndim == 1 else y.astype(self.dtype)

    def train(self, batches: Sequence[Batch]) -> None:
        settings, schedule = self.task.optimizer, self.task.schedule
        for x, y in batches:
            gradients = self.gradients(self.parameters, x, y)
            if self.task.clip_norm is not None:
                norm = np.sqrt(sum(float((g**2).sum()) for g in gradients.values()))
                factor = min(1.0, self.task.clip_norm / norm)
                gradients = {name: (g * factor).astype(self.dtype) for name, g in gradients.items()}
            rate = settings.rate * (schedule.factor(self.updates) if schedule else 1)
            self.updates += 1
            for name, value in self.parameters.items():
                g = gradients[name] + settings.weight_decay * value
                step = OPTIMIZERS[type(settings)](settings, rate, g, self.state[name], self.updates)
                self.parameters[name] = (value - step).astype(self.dtype)

    def predict(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(self.forward(self.parameters, x.astype(self.dtype)))

    def weights(self) -> Arrays:
        return {name: value.copy() for name, value in self.parameters.items()}

    def buffers(self) -> Arrays:
        return {}

    def sync(self) -> None:
        """Do nothing: NumPy is synchronous."""

    def save(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        state = {f"{name}/{slot}": value for name, slots in self.state.items() for slot, value in slots.items()}
        np.savez(path / "model.npz", updates=np.array(self.updates), **self.parameters, **state)  # type: ignore[arg-type]

    def load(self, path: Path) -> None:
        with np.load(path / "model.npz", allow_pickle=False) as archive:
            self.updates = int(archive["updates"])
            self.parameters = {name: archive[name] for name in self.parameters}
            self.state = {name: {} for name in self.parameters}
            for key in archive.files:
                name, _, slot = key.partition("/")
                if slot:
                    self.state[name][slot] = archive[key]

    def export_onnx(self, path: Path, opset: int) -> None:
        raise Unsupported("autograd has no ONNX exporter")

    def placement(self) -> str:
        return "cpu"

    def device_peak_bytes(self) -> int | None:
        return None

    def device_reserved_bytes(self) -> int | None:
        return None

    def settings(self) -> FrameworkSettings:
        return FrameworkSettings(threads=None, float32_products="float32")


_: type[contract.Model] = Model
