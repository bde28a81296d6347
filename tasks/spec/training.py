"""How a network learns: losses, optimizers, schedules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Loss = Literal["binary_cross_entropy", "softmax_cross_entropy", "mean_squared_error"]
Normalization = Literal["standard", "unit", "raw"]  # zero mean and unit variance; 0 to 1; unchanged

# Loss -> the metric of quality that belongs to it, and whether higher is better.
QUALITY: dict[Loss, tuple[str, bool]] = {
    "binary_cross_entropy": ("accuracy", True),
    "softmax_cross_entropy": ("accuracy", True),
    "mean_squared_error": ("mse", False),
}


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
