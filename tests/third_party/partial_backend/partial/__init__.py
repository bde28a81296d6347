"""The reference model without some layers and optimizers, or without anything at all; the mode says which."""

from __future__ import annotations

import numpy as np

from crossframe.backends.contract import Dialect, Unsupported
from crossframe.backends.reference.model import Model
from crossframe.tasks.spec import LSTM, AdaGrad, Arrays, Conv2D, RMSProp, Task

MODES = ("some_parts", "nothing")
DIALECT: Dialect = {}


def prepare(task: Task, weights: Arrays, device: str, mode: str, precision: str) -> Model:
    """Return the reference model; Unsupported for what the mode lacks."""
    if mode == "nothing":
        raise Unsupported("nothing is implemented")
    if isinstance(task.optimizer, AdaGrad | RMSProp):
        raise Unsupported(f"there is no {type(task.optimizer).__name__}")
    for layer in task.layers:
        if isinstance(layer, Conv2D | LSTM):
            raise Unsupported(f"there is no {type(layer).__name__}")
    return Model(task, weights, np.dtype(precision), {})
