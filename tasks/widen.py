"""Wider versions of a task: the same layers in the same order, with more units, on larger batches.

A framework starts as many operations as before, and each operation has more work. If a step takes no longer, its time
was bound by starting operations. Wider tasks measure speed only: learning rate and target are not adapted.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from crossframe.tasks.spec import LSTM, Conv2D, Dense, Layer, Task, map_leaves


def widen_layer(layer: Layer, factor: int) -> Layer:
    """Return the layer with `factor` times as many units or filters; a layer without either unchanged."""
    if isinstance(layer, Conv2D):
        return replace(layer, filters=layer.filters * factor)
    if isinstance(layer, Dense | LSTM):
        return replace(layer, units=layer.units * factor)
    return layer


def widen(task: Task, factor: int) -> Task:
    """Return `task` with batch size and widths times `factor`, named `cnn-x4`; the task itself for a factor of 1.

    The last layer with parameters keeps its width, since the data determine its outputs.
    """
    if factor == 1:
        return task
    last = max(index for index, (_, layer, shape) in enumerate(task.walk()) if layer.parameters(shape))
    wide = map_leaves(task.layers, partial(widen_layer, factor=factor))
    layers = (*wide[:last], task.layers[last], *wide[last + 1 :])
    return replace(task, name=f"{task.name}-x{factor}", layers=layers, batch_size=task.batch_size * factor)


def split_name(name: str) -> tuple[str, int]:
    """Return (name of the original task, factor): `cnn-x4` -> (`cnn`, 4); `cnn` -> (`cnn`, 1)."""
    base, separator, factor = name.rpartition("-x")
    return (base, int(factor)) if separator and factor.isdigit() else (name, 1)
