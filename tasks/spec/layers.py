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

    def buffers(self, shape: Shape) -> dict[str, Shape]:
        """Return short name -> shape of the arrays that training changes without a gradient; most layers have none."""

    def fans(self, shape: Shape) -> dict[str, tuple[int, int]]:
        """Return (fan in, fan out) of each randomly initialized weight.

        Other parameters, and buffers, start at zero, or at one if `ONES` names them.
        """

    def uses(self, shape: Shape) -> dict[str, int]:
        """Return short name of a parameter -> multiplications by each of its entries in one sample's forward pass.

        Parameters that are only added are left out.
        """


# Short names of the parameters and buffers that start at one, in all layers.
ONES = frozenset({"scale", "variance"})


class WithoutBuffers:
    """The buffers of a layer that has none."""

    def buffers(self, shape: Shape) -> dict[str, Shape]:
        return {}


class Parameterless(WithoutBuffers):
    """The parameters of a layer that has none."""

    def parameters(self, shape: Shape) -> dict[str, Shape]:
        return {}

    def fans(self, shape: Shape) -> dict[str, tuple[int, int]]:
        return {}

    def uses(self, shape: Shape) -> dict[str, int]:
        return {}


def check_image(layer: Layer, shape: Shape) -> None:
    """Raise ValueError unless the input of a layer has the axes (channels, height, width)."""
    if len(shape) != 3:
        raise ValueError(f"{type(layer).__name__} needs an input of (channels, height, width), not {shape}")


@dataclass(frozen=True)
class Dense(WithoutBuffers):
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

    def uses(self, shape: Shape) -> dict[str, int]:
        return {"w": 1}


@dataclass(frozen=True)
class Flatten(Parameterless):
    """(a, b, c) -> (a * b * c,), in canonical (channels first) order."""

    kind: ClassVar[str] = "flatten"

    def output_shape(self, shape: Shape) -> Shape:
        return (math.prod(shape),)


@dataclass(frozen=True)
class LSTM(WithoutBuffers):
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

    def uses(self, shape: Shape) -> dict[str, int]:
        return {"w_x": shape[0], "w_h": shape[0]}


@dataclass(frozen=True)
class LastStep(Parameterless):
    """(steps, features) -> (features,): the last step only."""

    kind: ClassVar[str] = "last"

    def output_shape(self, shape: Shape) -> Shape:
        return shape[1:]
