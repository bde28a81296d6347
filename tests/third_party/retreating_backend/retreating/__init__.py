"""PyTorch that is asked for a GPU and trains on the CPU without a message: the fallback that every run must catch."""

from __future__ import annotations

from importlib import import_module

from crossframe.backends.contract import Model
from crossframe.tasks.spec import Arrays, Task

CORRECT = import_module("crossframe.backends.torch")
MODES, DIALECT = CORRECT.MODES, CORRECT.DIALECT


def prepare(task: Task, weights: Arrays, device: str, mode: str, precision: str) -> Model:
    """Return the correct model on the wrong device."""
    model: Model = CORRECT.prepare(task, weights, "cpu", mode, precision)
    return model
