"""A backend with a known cost added to it, with which the self-test measures the measurement itself.

`$KNOWN_COST_MODULE` names the module of the wrapped backend. A step takes at least `$KNOWN_COST_STEP_S` seconds and
`$KNOWN_COST_SLOWDOWN` times as long as without the cost; `$KNOWN_COST_BYTES` bytes of memory are allocated. The added
time is busy waiting, since a slower framework uses processor time as well.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np

from crossframe.backends.contract import Batch, Model
from crossframe.tasks.spec import Arrays, Task

WRAPPED = import_module(os.environ["KNOWN_COST_MODULE"])
MODES, DIALECT = WRAPPED.MODES, WRAPPED.DIALECT
STEP_S = float(os.environ.get("KNOWN_COST_STEP_S", "0"))
SLOWDOWN = float(os.environ.get("KNOWN_COST_SLOWDOWN", "1"))
BYTES = int(os.environ.get("KNOWN_COST_BYTES", "0"))


def prepare(task: Task, weights: Arrays, device: str, mode: str, precision: str) -> CostlyModel:
    """Return the model of the wrapped backend with the cost added."""
    return CostlyModel(WRAPPED.prepare(task, weights, device, mode, precision))


class CostlyModel:
    """A model with a known cost; everything but `train` is that of the wrapped model."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.ballast = np.ones(BYTES, np.uint8)  # ones: the kernel provides no memory before it is written

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the wrapped model."""
        return getattr(self.model, name)

    def train(self, batches: Sequence[Batch]) -> None:
        """Do one update for each batch, each at the known cost."""
        for batch in batches:
            begin = time.perf_counter()
            self.model.train([batch])
            self.model.sync()
            end = begin + max(STEP_S, (time.perf_counter() - begin) * SLOWDOWN)
            while time.perf_counter() < end:
                pass
