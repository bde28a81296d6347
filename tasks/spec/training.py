"""How a network learns: losses, optimizers, schedules."""

from __future__ import annotations

import math
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
    """w <- w - rate v, v <- momentum v + g. Polyak 1964, as in Sutskever et al. 2013 with rate outside of v.

    With `nesterov`, w <- w - rate (g + momentum v): Nesterov's momentum in the form of Bengio et al. 2013, equation 7,
    whose weights are those at which the gradient is taken.
    """

    rate: float
    momentum: float = 0.0
    weight_decay: float = 0.0
    nesterov: bool = False


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

    def factor(self, update: int) -> float:
        """Return the share of the rate that an update, counted from 0, is done at."""
        return self.gamma ** (update // self.every)


@dataclass(frozen=True)
class CosineSchedule:
    """The learning rate rises in a line over `warm_up` updates, then falls in half a period of a cosine to zero.

    The rate of update k (from 0) is rate (k + 1) / warm_up while k < warm_up, then rate (1 + cos(pi s)) / 2 with
    s = (k - warm_up) / (updates - warm_up), and zero from update `updates` on. Loshchilov and Hutter 2017, equation 5;
    the warm-up of Goyal et al. 2017, section 2.2.
    """

    updates: int
    warm_up: int = 0

    def factor(self, update: int) -> float:
        """Return the share of the rate that an update, counted from 0, is done at."""
        if update < self.warm_up:
            return (update + 1) / self.warm_up
        if update >= self.updates:
            return 0.0
        return (1 + math.cos(math.pi * (update - self.warm_up) / (self.updates - self.warm_up))) / 2


Schedule = StepSchedule | CosineSchedule


@dataclass(frozen=True)
class EarlyStopping:
    """Stop when the held-out loss has not fallen by more than `min_delta` in `patience` evaluations."""

    patience: int
    min_delta: float = 0.0
