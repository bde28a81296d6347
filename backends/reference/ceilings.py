"""A matrix product and a copy in NumPy, for measuring the ceilings of the processor."""

from __future__ import annotations

import numpy as np

from crossframe.backends.contract import RepeatedOperation, repeat_then_sync
from crossframe.backends.reference.model import Model


def ceiling(model: Model, side: int, size: int) -> tuple[RepeatedOperation, RepeatedOperation]:
    """Return `matmul` of `side` x `side` matrices and `copyto` of `size` bytes."""
    square = np.random.default_rng(0).random((side, side)).astype(model.dtype)
    source = np.ones(size // 4, np.float32)
    target = np.zeros_like(source)
    multiply = repeat_then_sync(lambda: square @ square, model.sync)
    return multiply, repeat_then_sync(lambda: np.copyto(target, source), model.sync)
