"""A product and a copy, to see what the processor can do at most in NumPy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crossframe.backends.contract import Work, repeated

if TYPE_CHECKING:
    from crossframe.backends.reference.model import Model


def works(model: Model, side: int, size: int) -> tuple[Work, Work]:
    """`matmul` and `copyto`."""
    square = np.random.default_rng(0).random((side, side)).astype(model.dtype)
    source = np.ones(size // 4, np.float32)
    target = np.zeros_like(source)
    return repeated(lambda: square @ square, model.sync), repeated(lambda: np.copyto(target, source), model.sync)
