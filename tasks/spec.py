"""What is to be learned, said without any framework.

A `Task` is plain, frozen data: layers, a loss, an optimizer and how long to train. It travels to a worker as JSON
(`to_json`, `from_json`), so a job holds the whole of its task and can be replayed without this checkout's history.

Layouts, the same for every backend (a backend converts at its own door):

* images are channels first, `(batch, channels, height, width)`; sequences are `(batch, steps, features)`;
* `Dense` w `(in, out)`, b `(out,)`;
* `Conv2D` w `(out, in, height, width)`, b `(out,)`, a cross-correlation as in every framework;
* `LSTM` w_x `(in, 4H)`, w_h `(H, 4H)`, ONE bias b `(4H,)`, gates in the order input, forget, cell, output.

Parameters are named by kind and number, `conv1.w`, `lstm2.w_h`: the n-th layer of that kind, from 1.

Adding a layer: one class here (its output shape, its parameters), one row in each backend's table.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

import numpy as np

Shape = tuple[int, ...]
Arrays = dict[str, np.ndarray]


class Layer(Protocol):
    """One step of a network; shapes are of one sample, without the batch axis."""

    kind: ClassVar[str]

    def output_shape(self, shape: Shape) -> Shape:
        """The shape that comes out when `shape` goes in; ValueError where it does not fit."""

    def parameters(self, shape: Shape) -> dict[str, Shape]:
        """Short parameter name -> shape, for an input of `shape`; empty where nothing is learned."""

    def fans(self, shape: Shape) -> dict[str, tuple[int, int]]:
        """Name of each weight that is drawn -> (fan in, fan out); what is not named starts at zero."""

    def uses(self, shape: Shape) -> int:
        """How often each of those weights is multiplied by something, forward, for one sample."""


class _Parameterless:
    def parameters(self, shape: Shape) -> dict[str, Shape]:
        return {}

    def fans(self, shape: Shape) -> dict[str, tuple[int, int]]:
        return {}

    def uses(self, shape: Shape) -> int:
        return 0


@dataclass(frozen=True)
class Dense:
    """(in,) -> (units,): x @ w + b."""

    units: int
    kind: ClassVar[str] = "dense"

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != 1:
            raise ValueError(f"Dense wants one axis, not {shape}: put a Flatten before it")
        return (self.units,)

    def parameters(self, shape: Shape) -> dict[str, Shape]:
        return {"w": (shape[0], self.units), "b": (self.units,)}

    def fans(self, shape: Shape) -> dict[str, tuple[int, int]]:
        return {"w": (shape[0], self.units)}

    def uses(self, shape: Shape) -> int:
        return 1


@dataclass(frozen=True)
class Conv2D:
    """(in, height, width) -> (filters, height', width'): stride 1, zeros around by `padding`."""

    filters: int
    size: int
    padding: int
    kind: ClassVar[str] = "conv"

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != 3:
            raise ValueError(f"Conv2D wants (channels, height, width), not {shape}")
        grow = 2 * self.padding - self.size + 1
        return (self.filters, shape[1] + grow, shape[2] + grow)

    def parameters(self, shape: Shape) -> dict[str, Shape]:
        return {"w": (self.filters, shape[0], self.size, self.size), "b": (self.filters,)}

    def fans(self, shape: Shape) -> dict[str, tuple[int, int]]:
        return {"w": (shape[0] * self.size**2, self.filters * self.size**2)}

    def uses(self, shape: Shape) -> int:
        return math.prod(self.output_shape(shape)[1:])


@dataclass(frozen=True)
class MaxPool2D(_Parameterless):
    """(channels, height, width) -> (channels, height // size, width // size): windows that do not overlap."""

    size: int
    kind: ClassVar[str] = "pool"

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != 3 or shape[1] % self.size or shape[2] % self.size:
            raise ValueError(f"MaxPool2D({self.size}) wants (channels, height, width) divisible by it, not {shape}")
        return (shape[0], shape[1] // self.size, shape[2] // self.size)


@dataclass(frozen=True)
class ReLU(_Parameterless):
    """any -> the same: max(x, 0)."""

    kind: ClassVar[str] = "relu"

    def output_shape(self, shape: Shape) -> Shape:
        return shape


@dataclass(frozen=True)
class Flatten(_Parameterless):
    """(a, b, c) -> (a * b * c,), in canonical (channels first) order."""

    kind: ClassVar[str] = "flatten"

    def output_shape(self, shape: Shape) -> Shape:
        return (math.prod(shape),)


@dataclass(frozen=True)
class LSTM:
    """(steps, in) -> (steps, units): every hidden state, from a zero state.

    i, f, o are sigmoids and g a tanh of x @ w_x + h @ w_h + b; c' = f c + i g; h' = o tanh(c').
    Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000; no peepholes.
    """

    units: int
    kind: ClassVar[str] = "lstm"

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != 2:
            raise ValueError(f"LSTM wants (steps, features), not {shape}")
        return (shape[0], self.units)

    def parameters(self, shape: Shape) -> dict[str, Shape]:
        return {"w_x": (shape[1], 4 * self.units), "w_h": (self.units, 4 * self.units), "b": (4 * self.units,)}

    def fans(self, shape: Shape) -> dict[str, tuple[int, int]]:
        return {"w_x": (shape[1], self.units), "w_h": (self.units, self.units)}

    def uses(self, shape: Shape) -> int:
        return shape[0]


@dataclass(frozen=True)
class LastStep(_Parameterless):
    """(steps, features) -> (features,): the last step alone."""

    kind: ClassVar[str] = "last"

    def output_shape(self, shape: Shape) -> Shape:
        return shape[1:]


@dataclass(frozen=True)
class SGD:
    """w <- w - rate v, v <- momentum v + g. Polyak 1964, as in Sutskever et al. 2013 with rate outside of v."""

    rate: float
    momentum: float = 0.0
    weight_decay: float = 0.0


@dataclass(frozen=True)
class Adam:
    """Kingma and Ba 2015, algorithm 1: epsilon is added to the root of the CORRECTED second moment."""

    rate: float
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0


@dataclass(frozen=True)
class AdaGrad:
    """w <- w - rate g / (sqrt(sum of g^2) + epsilon), the sum from zero. Duchi et al. 2011."""

    rate: float
    epsilon: float = 1e-8
    weight_decay: float = 0.0


@dataclass(frozen=True)
class RMSProp:
    """w <- w - rate g / (sqrt(a) + epsilon), a <- decay a + (1 - decay) g^2. Hinton 2012, lecture 6e; not centred."""

    rate: float
    decay: float = 0.9
    epsilon: float = 1e-8
    weight_decay: float = 0.0


Optimizer = SGD | Adam | AdaGrad | RMSProp


@dataclass(frozen=True)
class StepSchedule:
    """The learning rate of update k (from 0) is rate * gamma ** (k // every)."""

    every: int
    gamma: float


@dataclass(frozen=True)
class EarlyStopping:
    """Stop when the held-out loss has not fallen by more than `min_delta` in `patience` evaluations."""

    patience: int
    min_delta: float = 0.0


Loss = Literal["binary_cross_entropy", "softmax_cross_entropy", "mean_squared_error"]

# The measure of quality that goes with each loss, and whether more of it is better.
QUALITY: dict[Loss, tuple[str, bool]] = {
    "binary_cross_entropy": ("accuracy", True),
    "softmax_cross_entropy": ("accuracy", True),
    "mean_squared_error": ("mse", False),
}


@dataclass(frozen=True)
class Task:
    """A network, what it learns from, and how.

    Losses are means over the batch (mean squared error also over the outputs), taken on logits. One update is, in
    this order: gradient of the mean loss; clipping to `clip_norm` (L2, over all parameters together); L2 decay,
    g + weight_decay * w, for every parameter, biases too; the optimizer, at the rate that `schedule` gives.
    """

    name: str
    data: str  # a name in crossframe.tasks.data, or what --data puts in its place
    input_shape: Shape
    layers: tuple[Layer, ...]
    loss: Loss
    optimizer: Optimizer
    epochs: int
    target: float  # the quality (see QUALITY) that time_to_target_s waits for
    batch_size: int = 64
    scaling: Literal["standard", "unit", "raw"] = "standard"  # zero mean and unit variance; 0 to 1; as it comes
    schedule: StepSchedule | None = None
    clip_norm: float | None = None
    early_stopping: EarlyStopping | None = None
    evaluate_every: int = 1  # epochs
    baseline: Literal["pca"] | None = None  # a figure without training to stand beside the quality

    def walk(self) -> Iterator[tuple[str, Layer, Shape]]:
        """(name, layer, shape that goes in), from the input on; ValueError where a layer does not fit."""
        counts: dict[str, int] = {}
        shape = self.input_shape
        for layer in self.layers:
            counts[layer.kind] = counts.get(layer.kind, 0) + 1
            yield f"{layer.kind}{counts[layer.kind]}", layer, shape
            shape = layer.output_shape(shape)

    def output_shape(self) -> Shape:
        """The shape of one sample's output."""
        shape = self.input_shape
        for _, layer, shape in self.walk():
            shape = layer.output_shape(shape)
        return shape

    def parameters(self) -> dict[str, Shape]:
        """Full parameter name -> shape, in the order of the layers."""
        return {
            f"{name}.{short}": size
            for name, layer, shape in self.walk()
            for short, size in layer.parameters(shape).items()
        }

    def flops(self) -> int:
        """Floating-point operations of one sample's forward pass: 2 for each use of a weight; the rest is not counted.

        Training takes three times as many: forward, and the gradients of weights and of inputs.
        """
        return 2 * sum(
            layer.uses(shape) * math.prod(layer.parameters(shape)[short])
            for _, layer, shape in self.walk()
            for short in layer.fans(shape)
        )

    @property
    def quality(self) -> str:
        return QUALITY[self.loss][0]


def initial_weights(task: Task, seed: int) -> Arrays:
    """Parameter name -> float32 array: uniform by Glorot and Bengio 2010, equation 16; biases zero."""
    generator = np.random.default_rng(seed)
    weights = {}
    for name, layer, shape in task.walk():
        fans = layer.fans(shape)
        for short, size in layer.parameters(shape).items():
            bound = math.sqrt(6 / sum(fans[short])) if short in fans else 0.0
            weights[f"{name}.{short}"] = generator.uniform(-bound, bound, size).astype(np.float32)
    return weights


_KINDS: dict[str, type] = {
    kind.__name__: kind
    for kind in (
        Task, Dense, Conv2D, MaxPool2D, ReLU, Flatten, LSTM, LastStep,
        SGD, Adam, AdaGrad, RMSProp, StepSchedule, EarlyStopping,
    )
}  # fmt: skip


def to_json(part: Any) -> Any:
    """A task, or any part of one, as plain JSON: an object carries the name of its class under `is`."""
    if dataclasses.is_dataclass(part):
        fields = {field.name: to_json(getattr(part, field.name)) for field in dataclasses.fields(part)}
        return {"is": type(part).__name__, **fields}
    return [to_json(item) for item in part] if isinstance(part, tuple) else part


def from_json(part: Any) -> Any:
    """The inverse of `to_json`; ValueError for a class that the spec does not have."""
    if isinstance(part, list):
        return tuple(from_json(item) for item in part)
    if not isinstance(part, dict):
        return part
    fields = {name: from_json(value) for name, value in part.items() if name != "is"}
    if part.get("is") not in _KINDS:
        raise ValueError(f"the spec has no {part.get('is')!r}; it has {', '.join(_KINDS)}")
    return _KINDS[part["is"]](**fields)
