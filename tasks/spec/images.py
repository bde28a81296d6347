"""Layers of images, whose axes are (channels, height, width): convolution and pooling."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from crossframe.tasks.spec.layers import Parameterless, Shape, WithoutBuffers, check_image

Around = tuple[tuple[int, int], tuple[int, int]]  # rows (above, below) and columns (left, right)


@dataclass(frozen=True)
class Conv2D(WithoutBuffers):
    """(in, height, width) -> (filters, height', width'): square windows, with zeros around the image.

    `padding` is the number of zeros on each side, or ((above, below), (left, right)). With `groups`, the channels are
    split into so many parts, and each part of the filters sees only its own part of the input. Dumoulin and Visin 2016,
    "A guide to convolution arithmetic for deep learning", relationship 15, with a separate padding for each side:
    height' = (height + above + below - dilation (size - 1) - 1) // stride + 1.
    """

    filters: int
    size: int
    padding: int | Around
    stride: int = 1
    dilation: int = 1
    groups: int = 1
    bias: bool = True
    kind: ClassVar[str] = "conv"

    @property
    def around(self) -> Around:
        """The rows and columns of zeros on each side."""
        if isinstance(self.padding, tuple):
            return self.padding
        return ((self.padding, self.padding), (self.padding, self.padding))

    @property
    def reach(self) -> int:
        """The number of rows from the first to the last of a window."""
        return self.dilation * (self.size - 1) + 1

    def output_shape(self, shape: Shape) -> Shape:
        check_image(self, shape)
        if min(self.size, self.stride, self.dilation, self.groups) < 1 or min(map(min, self.around)) < 0:
            raise ValueError(f"size, stride, dilation and groups are at least 1, and paddings at least 0: {self}")
        if shape[0] % self.groups or self.filters % self.groups:
            raise ValueError(f"{shape[0]} channels and {self.filters} filters do not split into {self.groups} groups")
        sides = [(side + sum(zeros) - self.reach) // self.stride + 1 for side, zeros in zip(shape[1:], self.around)]
        if min(sides) < 1:
            raise ValueError(f"windows of {self.reach} rows do not fit into an input of {shape} with its padding")
        return (self.filters, *sides)

    def parameters(self, shape: Shape) -> dict[str, Shape]:
        kernel = {"w": (self.filters, shape[0] // self.groups, self.size, self.size)}
        return kernel | ({"b": (self.filters,)} if self.bias else {})

    def fans(self, shape: Shape) -> dict[str, tuple[int, int]]:
        return {"w": (shape[0] // self.groups * self.size**2, self.filters // self.groups * self.size**2)}

    def uses(self, shape: Shape) -> dict[str, int]:
        return {"w": math.prod(self.output_shape(shape)[1:])}


class _Tiles(Parameterless):
    size: int

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != 3 or shape[1] % self.size or shape[2] % self.size:
            raise ValueError(
                f"{type(self).__name__}({self.size}) needs an input of (channels, height, width) divisible by "
                f"{self.size}, not {shape}"
            )
        return (shape[0], shape[1] // self.size, shape[2] // self.size)


@dataclass(frozen=True)
class MaxPool2D(_Tiles):
    """(channels, height, width) -> (channels, height // size, width // size): windows that do not overlap."""

    size: int
    kind: ClassVar[str] = "pool"


@dataclass(frozen=True)
class AveragePool2D(_Tiles):
    """(channels, height, width) -> (channels, height // size, width // size): means of windows without overlap."""

    size: int
    kind: ClassVar[str] = "average"


@dataclass(frozen=True)
class GlobalAveragePool(Parameterless):
    """(channels, height, width) -> (channels,): the mean over all positions. Lin et al. 2014, section 3.2."""

    kind: ClassVar[str] = "average"

    def output_shape(self, shape: Shape) -> Shape:
        check_image(self, shape)
        return shape[:1]
