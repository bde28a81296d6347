"""The NumPy archives that a worker reads."""

from __future__ import annotations

import numpy as np

from crossframe.tasks.spec import Arrays, Task


def read_arrays(path: str) -> Arrays:
    """Return all arrays of an archive."""
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def select_weights(arrays: Arrays, task: Task) -> Arrays:
    """Return the parameters and buffers of a task from an archive, whose keys are `weights/<name>`."""
    return {name: arrays[f"weights/{name}"] for name in task.arrays()}


def read_feeds(path: str) -> dict[str, Arrays]:
    """Return set -> input name -> array, from an archive whose keys are `set/input`."""
    sets: dict[str, Arrays] = {}
    for key, value in read_arrays(path).items():
        name, _, entry = key.partition("/")
        sets.setdefault(name, {})[entry] = value
    return sets or {"declared": {}}  # a model without inputs
