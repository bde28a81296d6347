"""Points of the square [-1, 1] x [-1, 1], labelled 1 inside the unit circle and 0 outside."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from crossframe.tasks.data.split import Split

TRAIN, HELD_OUT = 2048, 2000


def circle(folder: Path | None = None) -> Split:
    """Return 2,048 training and 2,000 held-out points, uniform, always the same; `folder` is not used."""
    x = np.random.default_rng(0).uniform(-1, 1, (TRAIN + HELD_OUT, 2)).astype(np.float32)
    return Split(x[:TRAIN], inside(x[:TRAIN]), x[TRAIN:], inside(x[TRAIN:]))


def original(folder: Path | None = None) -> Split:
    """Return the ten training points of the original specification, and the held-out points of `circle`.

    The specification draws them by `numpy.random.seed(0)` and `rand(10, 2) * 2 - 1`.
    """
    # RandomState(0) draws the same numbers without changing the global generator.
    x = (np.random.RandomState(0).rand(10, 2) * 2 - 1).astype(np.float32)
    held_out = circle()
    return Split(x, inside(x), held_out.x_test, held_out.y_test)


def inside(x: np.ndarray) -> np.ndarray:
    """Return whether x0^2 + x1^2 < 1: (n, 2) -> (n,) int64."""
    return np.asarray(np.square(x).sum(axis=1) < 1, np.int64)
