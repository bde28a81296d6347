"""A backend with a known cost added to it, by which the measurement itself is measured: see `selftest`.

$BURDEN_WRAP names the backend's module. A step takes $BURDEN_STEP_S seconds at least, and $BURDEN_SLOWDOWN times as
long as it would; $BURDEN_BYTES of memory are held. The waiting is work for a processor, as a slower framework's is.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np

from crossframe.backends.contract import Batch
from crossframe.tasks.spec import Arrays, Task

WRAPPED = import_module(os.environ["BURDEN_WRAP"])
MODES, DIALECT = WRAPPED.MODES, WRAPPED.DIALECT
STEP_S = float(os.environ.get("BURDEN_STEP_S", 0))
SLOWDOWN = float(os.environ.get("BURDEN_SLOWDOWN", 1))
BYTES = int(os.environ.get("BURDEN_BYTES", 0))


def prepare(task: Task, weights: Arrays, device: str, mode: str, precision: str) -> Burdened:
    return Burdened(WRAPPED.prepare(task, weights, device, mode, precision))


class Burdened:
    def __init__(self, model: Any):
        self.model = model
        self.held = np.ones(BYTES, np.uint8)  # ones: memory that was never written to is not there

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def train(self, batches: Sequence[Batch]) -> None:
        for batch in batches:
            begin = time.perf_counter()
            self.model.train([batch])
            self.model.sync()
            end = begin + max(STEP_S, (time.perf_counter() - begin) * SLOWDOWN)
            while time.perf_counter() < end:
                pass
