"""A task in a sentence, for readers who see its name alone."""

from __future__ import annotations

from crossframe.tasks.spec import Layer, Task, to_json


def word(layer: Layer) -> str:
    """`conv 32`: what kind of layer, and its first setting, which is its size."""
    _, *settings = to_json(layer).values()
    return " ".join([layer.kind, *map(str, settings[:1])])


def sentence(task: Task) -> str:
    """What goes in, through which layers, and how they learn."""
    shape = " x ".join(map(str, task.input_shape))
    layers = ", ".join(map(word, task.layers))
    rule = f"{task.loss.replace('_', ' ')} by {type(task.optimizer).__name__} in batches of {task.batch_size}"
    cost = f"{task.flops():,} operations forward for a sample"
    return f"{task.data}, {shape} numbers a sample, through {layers}; {rule}, {task.epochs} epochs at most; {cost}."
