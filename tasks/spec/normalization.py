"""Normalization of the values within a network."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from crossframe.tasks.spec.layers import Shape, check_image


@dataclass(frozen=True)
class BatchNorm:
    """(channels, height, width) -> the same: scale (x - mean) / sqrt(variance + epsilon) + shift, for each channel.

    Ioffe and Szegedy 2015. In training, mean and variance are those of the channel over the batch and all positions;
    the variance is the mean of the squared deviations (biased), and the gradient passes through both. Each update of
    the weights also updates the running statistics: statistic <- momentum statistic + (1 - momentum) that of the batch.
    `predict` uses these. They begin at mean 0 and variance 1, scale at 1, shift at 0.
    """

    epsilon: float = 1e-5
    momentum: float = 0.9
    kind: ClassVar[str] = "norm"

    def output_shape(self, shape: Shape) -> Shape:
        check_image(self, shape)
        return shape

    def parameters(self, shape: Shape) -> dict[str, Shape]:
        return {"scale": shape[:1], "shift": shape[:1]}

    def buffers(self, shape: Shape) -> dict[str, Shape]:
        return {"mean": shape[:1], "variance": shape[:1]}

    def fans(self, shape: Shape) -> dict[str, tuple[int, int]]:
        return {}

    def uses(self, shape: Shape) -> dict[str, int]:
        return {"scale": math.prod(shape[1:])}
