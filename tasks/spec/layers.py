"""The layers of a network. Shapes are those of one sample, without the batch axis."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

Shape = tuple[int, ...]
Arrays = dict[str, np.ndarray]


class Layer(Protocol):
    """One step of a network."""

    kind: ClassVar[str]

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of the output for an input of `shape`; ValueError if the layer does not fit."""

    def parameters(self, shape: Shape) -> dict[str, Shape]:
        """Return short parameter name -> shape, for an input of `shape`; empty if nothing is learned."""

    def fans(self, shape: Shape) -> dict[str, tuple[int, int]]:
        """Return (fan in, fan out) of each randomly initialized weight; other parameters start at zero."""

    def uses(self, shape: Shape) -> int:
        """Return the number of multiplications by each of those weights in one sample's forward pass."""


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
            raise ValueError(f"Dense needs an input of one axis, not {shape}: put a Flatten before it")
        return (self.units,)

    def parameters(self, shape: Shape) -> dict[str, Shape]:
        return {"w": (shape[0], self.units), "b": (self.units,)}

    def fans(self, shape: Shape) -> dict[str, tuple[int, int]]:
        return {"w": (shape[0], self.units)}

    def uses(self, shape: Shape) -> int:
        return 1


@dataclass(frozen=True)
class Conv2D:
    """(in, height, width) -> (filters, height', width'): stride 1, `padding` rows and columns of zeros around."""

    filters: int
    size: int
    padding: int
    kind: ClassVar[str] = "conv"

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != 3:
            raise ValueError(f"Conv2D needs an input of (channels, height, width), not {shape}")
        growth = 2 * self.padding - self.size + 1
        return (self.filters, shape[1] + growth, shape[2] + growth)

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
            raise ValueError(
                f"MaxPool2D({self.size}) needs an input of (channels, height, width) divisible by {self.size}, "
                f"not {shape}"
            )
        return (shape[0], shape[1] // self.size, shape[2] // self.size)


@dataclass(frozen=True)
class ReLU(_Parameterless):
    """Any shape -> the same: max(x, 0)."""

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
    """(steps, in) -> (steps, units): every hidden state, starting from a zero state.

    i, f, o are sigmoids and g a tanh of x @ w_x + h @ w_h + b; c' = f c + i g; h' = o tanh(c').
    Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000; no peepholes.
    """

    units: int
    kind: ClassVar[str] = "lstm"

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != 2:
            raise ValueError(f"LSTM needs an input of (steps, features), not {shape}")
        return (shape[0], self.units)

    def parameters(self, shape: Shape) -> dict[str, Shape]:
        return {"w_x": (shape[1], 4 * self.units), "w_h": (self.units, 4 * self.units), "b": (4 * self.units,)}

    def fans(self, shape: Shape) -> dict[str, tuple[int, int]]:
        return {"w_x": (shape[1], self.units), "w_h": (self.units, self.units)}

    def uses(self, shape: Shape) -> int:
        return shape[0]


@dataclass(frozen=True)
class LastStep(_Parameterless):
    """(steps, features) -> (features,): the last step only."""

    kind: ClassVar[str] = "last"

    def output_shape(self, shape: Shape) -> Shape:
        return shape[1:]
