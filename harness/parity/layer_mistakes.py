"""Known mistakes in the settings of layers, as changes of the network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from crossframe.tasks.spec import BatchNorm, Conv2D, Layer


def change_norm(**changes: Callable[[float], float]) -> Callable[[Layer], Layer]:
    """Return a function that changes settings of batch normalizations."""

    def change(layer: Layer) -> Layer:
        if not isinstance(layer, BatchNorm):
            return layer
        return replace(layer, **{name: function(getattr(layer, name)) for name, function in changes.items()})

    return change


def swap_sides(layer: Layer) -> Layer:
    """Return a convolution with its zeros on the opposite sides; other layers unchanged."""
    if not isinstance(layer, Conv2D):
        return layer
    (above, below), (left, right) = layer.around
    return layer if above == below and left == right else replace(layer, padding=((below, above), (right, left)))


def shift_padding(layer: Layer) -> Layer:
    """Return a convolution over an even side with a row and a column of its zeros moved from the begin to the end."""
    if not isinstance(layer, Conv2D) or layer.stride == 1 or not layer.around[0][0] or not layer.around[1][0]:
        return layer
    (above, below), (left, right) = layer.around
    return replace(layer, padding=((above - 1, below + 1), (left - 1, right + 1)))


# Mistakes in the settings of layers: what is wrong -> the change of each layer.
LAYER_MISTAKES: dict[str, Callable[[Layer], Layer]] = {
    "the momentum of the running statistics is reversed": change_norm(momentum=lambda value: 1 - value),
    "the running statistics have a momentum of 0.99": change_norm(momentum=lambda _: 0.99),
    "batch normalization has an epsilon of 1e-3": change_norm(epsilon=lambda _: 1e-3),
    "convolutions have their padding on the opposite sides": swap_sides,
    "convolutions with a stride have their padding at the end": shift_padding,
}
