"""The data sets: generated, shipped with scikit-learn, or downloaded; fitted to the input of a task and normalized."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crossframe.tasks.data import cifar10, digits, images, mnist, points
from crossframe.tasks.data.download import DataError
from crossframe.tasks.data.split import Split
from crossframe.tasks.spec import Normalization, Task

__all__ = ["SOURCES", "DataError", "Source", "Split", "load"]


@dataclass(frozen=True)
class Source:
    """A data set: its function `load(folder)`, and the value of a white pixel, None if its samples are not images."""

    load: Callable[[Path | None], Split]
    white: int | None


SOURCES = {
    "circle": Source(points.circle, None),
    "circle_original": Source(points.original, None),
    "digits": Source(digits.load, digits.WHITE),
    "mnist": Source(mnist.load, mnist.WHITE),
    "cifar10": Source(cifar10.load, cifar10.WHITE),
}


def load(task: Task, source: str | None = None, folder: Path | None = None) -> Split:
    """Return the samples of `source` (default: `task.data`) for a task: x float32 (n, *input_shape), y int64 or x.

    `folder` has the files of mnist and cifar10, which are downloaded if it is None. A task on points ignores `source`.
    Raises ValueError for an unknown or unsuitable source, DataError for one that cannot be obtained.
    """
    for name in (task.data, source):
        if name is not None and name not in SOURCES:
            raise ValueError(f"unknown data set {name!r}; available are {', '.join(SOURCES)}")
    default = SOURCES[task.data]
    dataset = default if source is None or default.white is None else SOURCES[source]
    if default.white is not None and dataset.white is None:
        suitable = ", ".join(name for name, entry in SOURCES.items() if entry.white is not None)
        raise ValueError(f"the task {task.name} learns from images ({suitable}), not from {source}")
    split = dataset.load(folder)
    x_train, x_test = split.x_train, split.x_test
    if dataset.white is not None:
        x_train, x_test = images.fit(x_train, task.input_shape), images.fit(x_test, task.input_shape)
    normalize(x_train, x_test, task.normalization, dataset.white)
    if task.loss == "mean_squared_error":
        return Split(x_train, x_train, x_test, x_test)
    return Split(x_train, split.y_train, x_test, split.y_test)


def normalize(x_train: np.ndarray, x_test: np.ndarray, normalization: Normalization, white: int | None) -> None:
    """Normalize in place: "standard" gives all training values together mean 0 and variance 1, "unit" makes white 1."""
    if normalization == "standard":
        mean = x_train.mean(dtype=np.float64)
        for x in (x_train, x_test):
            x -= mean
        # einsum sums in float64 without the copy that x_train.std() makes; a float32 sum drifts by 0.1 %.
        values = x_train.reshape(-1)
        deviation = math.sqrt(np.einsum("i,i->", values, values, dtype=np.float64) / values.size)
        for x in (x_train, x_test):
            x /= deviation
    if normalization == "unit":
        if white is None:
            raise ValueError("points have no white value: their normalization is 'standard' or 'raw', not 'unit'")
        for x in (x_train, x_test):
            x /= white
