"""Layers in sequence, and layers that hold sequences of layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from crossframe.tasks.spec.layers import Layer, Shape

T = TypeVar("T")
SHORTCUT = "shortcut"  # the part of a name that says that a layer is in the shortcut


@dataclass(frozen=True)
class Residual:
    """x -> body(x) + shortcut(x), each a sequence of layers; without layers the shortcut is x itself. He et al. 2016.

    Names follow the tree: `block2.conv1.w` is in the body, `block2.shortcut.conv1.w` in the shortcut.
    """

    body: tuple[Layer, ...]
    shortcut: tuple[Layer, ...] = ()
    kind: ClassVar[str] = "block"

    def output_shape(self, shape: Shape) -> Shape:
        body, shortcut = (chain_shape(layers, shape) for layers in (self.body, self.shortcut))
        if body != shortcut:
            raise ValueError(
                f"the body of a Residual gives {body} and its shortcut {shortcut}: they must be equal, for example by "
                "a Conv2D of size 1 in the shortcut"
            )
        return body

    def parameters(self, shape: Shape) -> dict[str, Shape]:
        return self._collect(shape, lambda layer, shape: layer.parameters(shape))

    def buffers(self, shape: Shape) -> dict[str, Shape]:
        return self._collect(shape, lambda layer, shape: layer.buffers(shape))

    def fans(self, shape: Shape) -> dict[str, tuple[int, int]]:
        return self._collect(shape, lambda layer, shape: layer.fans(shape))

    def uses(self, shape: Shape) -> dict[str, int]:
        return self._collect(shape, lambda layer, shape: layer.uses(shape))

    def walk(self, shape: Shape, prefix: str = "") -> Iterator[tuple[str, Layer, Shape]]:
        """Yield (name, layer, input shape) of each layer of the body, then of the shortcut."""
        yield from walk_chain(self.body, shape, prefix)
        yield from walk_chain(self.shortcut, shape, f"{prefix}{SHORTCUT}.")

    def _collect(self, shape: Shape, select: Callable[[Layer, Shape], dict[str, T]]) -> dict[str, T]:
        return {
            f"{name}.{short}": value
            for name, layer, shape in self.walk(shape)
            for short, value in select(layer, shape).items()
        }


def walk_chain(layers: Sequence[Layer], shape: Shape, prefix: str = "") -> Iterator[tuple[str, Layer, Shape]]:
    """Yield (name, layer, input shape) of each layer in a sequence, in order.

    `shape` is that of the first input, and `prefix` begins all names. ValueError if a layer does not fit.
    """
    counts: dict[str, int] = {}
    for layer in layers:
        counts[layer.kind] = counts.get(layer.kind, 0) + 1
        yield f"{prefix}{layer.kind}{counts[layer.kind]}", layer, shape
        shape = layer.output_shape(shape)


def walk_leaves(layers: Sequence[Layer], shape: Shape, prefix: str = "") -> Iterator[tuple[str, Layer, Shape]]:
    """Yield (name, layer, input shape) of each layer that holds no other layers, at any depth."""
    for name, layer, size in walk_chain(layers, shape, prefix):
        if isinstance(layer, Residual):
            yield from walk_leaves(layer.body, size, f"{name}.")
            yield from walk_leaves(layer.shortcut, size, f"{name}.{SHORTCUT}.")
        else:
            yield name, layer, size


def map_leaves(layers: Sequence[Layer], change: Callable[[Layer], Layer]) -> tuple[Layer, ...]:
    """Return the layers with `change` made to each that holds no other layers, at any depth."""
    return tuple(
        Residual(map_leaves(layer.body, change), map_leaves(layer.shortcut, change))
        if isinstance(layer, Residual)
        else change(layer)
        for layer in layers
    )


def chain_shape(layers: Sequence[Layer], shape: Shape) -> Shape:
    """Return the shape of the output of a sequence of layers."""
    for layer in layers:
        shape = layer.output_shape(shape)
    return shape
