"""Activations: functions of each number by itself, of inputs of any shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from crossframe.tasks.spec.layers import Parameterless, Shape


class _Activation(Parameterless):
    def output_shape(self, shape: Shape) -> Shape:
        return shape


@dataclass(frozen=True)
class ReLU(_Activation):
    """Any shape -> the same: max(x, 0)."""

    kind: ClassVar[str] = "relu"


@dataclass(frozen=True)
class LeakyReLU(_Activation):
    """x where x > 0, else slope x. Maas et al. 2013."""

    slope: float = 0.01
    kind: ClassVar[str] = "leaky_relu"


@dataclass(frozen=True)
class ELU(_Activation):
    """x where x > 0, else exp(x) - 1. Clevert et al. 2016, with their alpha = 1."""

    kind: ClassVar[str] = "elu"


@dataclass(frozen=True)
class Sigmoid(_Activation):
    """1 / (1 + exp(-x))."""

    kind: ClassVar[str] = "sigmoid"


@dataclass(frozen=True)
class Tanh(_Activation):
    """The hyperbolic tangent."""

    kind: ClassVar[str] = "tanh"


@dataclass(frozen=True)
class SiLU(_Activation):
    """x sigmoid(x). Elfwing et al. 2018."""

    kind: ClassVar[str] = "silu"


@dataclass(frozen=True)
class GELU(_Activation):
    """x times the distribution function of the normal distribution. Hendrycks and Gimpel 2016.

    Exact, by the error function; or with `approximate` their formula with a tanh:
    x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))).
    """

    approximate: bool = False
    kind: ClassVar[str] = "gelu"


@dataclass(frozen=True)
class Softplus(_Activation):
    """log(1 + exp(x)). Dugas et al. 2001."""

    kind: ClassVar[str] = "softplus"
