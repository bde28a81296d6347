"""A task made larger: the same layers in the same order, wider, on larger batches.

The number of operations that a framework starts stays what it was, and each of them has more to do: so a step that
takes no longer was bound by starting them. For speed alone: rates and targets are those of the task as it is given.
"""

from __future__ import annotations

from dataclasses import replace

from crossframe.tasks.spec import LSTM, Conv2D, Dense, Layer, Task


def widened(layer: Layer, factor: int) -> Layer:
    """The layer with `factor` times as many units or filters; a layer without parameters as it is."""
    if isinstance(layer, Conv2D):
        return replace(layer, filters=layer.filters * factor)
    if isinstance(layer, Dense | LSTM):
        return replace(layer, units=layer.units * factor)
    return layer


def scaled(task: Task, factor: int) -> Task:
    """`task` with batch and widths times `factor`, but for the last layer that learns: its outputs are the data's.

    It is called `cnn-x4`, so that all that goes by a task's name keeps the sizes apart; times 1 it is the task itself.
    """
    if factor == 1:
        return task
    last = max(place for place, (_, layer, shape) in enumerate(task.walk()) if layer.parameters(shape))
    layers = tuple(layer if place == last else widened(layer, factor) for place, layer in enumerate(task.layers))
    return replace(task, name=f"{task.name}-x{factor}", layers=layers, batch_size=task.batch_size * factor)


def unscaled(name: str) -> tuple[str, int]:
    """`cnn-x4` -> (`cnn`, 4); `cnn` -> (`cnn`, 1)."""
    base, mark, factor = name.rpartition("-x")
    return (base, int(factor)) if mark and factor.isdigit() else (name, 1)
