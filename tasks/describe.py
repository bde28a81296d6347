"""A description of a task in one sentence."""

from __future__ import annotations

from crossframe.tasks.spec import Layer, Residual, Task, to_json


def describe_layer(layer: Layer) -> str:
    """Return the kind of a layer and its first setting, which is its size: `conv 32`; of a block, its layers."""
    if isinstance(layer, Residual):
        parts = [", ".join(map(describe_layer, layers)) for layers in (layer.body, layer.shortcut) if layers]
        return f"{layer.kind} ({' + '.join(parts)})"
    _, *settings = to_json(layer).values()
    return " ".join([layer.kind, *(str(size) for size in settings[:1] if type(size) is int)])


def describe_task(task: Task) -> str:
    """Return the data, layers, loss, optimizer and cost of a task in one sentence."""
    shape = " x ".join(map(str, task.input_shape))
    layers = ", ".join(map(describe_layer, task.layers))
    training = f"{task.loss.replace('_', ' ')} by {type(task.optimizer).__name__} in batches of {task.batch_size}"
    cost = f"{task.flops():,} operations per sample in the forward pass"
    return f"{task.data}, {shape} values per sample; {layers}; {training}, at most {task.epochs} epochs; {cost}."
