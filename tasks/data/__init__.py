"""The data sets: drawn, shipped with scikit-learn, or fetched; fitted to a task's input and scaled as it says."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crossframe.tasks.data import cifar10, digits, images, mnist, points
from crossframe.tasks.data.download import DataError
from crossframe.tasks.data.split import Split
from crossframe.tasks.spec import Task

__all__ = ["SOURCES", "DataError", "Source", "Split", "load"]


@dataclass(frozen=True)
class Source:
    """Where samples come from: `load(folder)`, and the value of a white pixel, None where samples are no images."""

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
    """The samples of `source`, or else of `task.data`, fitted and scaled for the task: x float32, y int64 or x itself.

    `folder` holds the files of mnist and cifar10; without one they are fetched. A task on points keeps its own,
    whatever `source` is. ValueError for a source that does not exist or suit, DataError for one that cannot be had.
    """
    for name in (task.data, source):
        if name is not None and name not in SOURCES:
            raise ValueError(f"no data set is named {name!r}; there are {', '.join(SOURCES)}")
    own = SOURCES[task.data]
    chosen = own if source is None or own.white is None else SOURCES[source]
    if own.white is not None and chosen.white is None:
        suiting = ", ".join(name for name, known in SOURCES.items() if known.white is not None)
        raise ValueError(f"the task {task.name} learns from images ({suiting}), not from {source}")
    found = chosen.load(folder)
    x_train, x_test = found.x_train, found.x_test
    if chosen.white is not None:
        x_train, x_test = images.fit(x_train, task.input_shape), images.fit(x_test, task.input_shape)
    scale(x_train, x_test, task.scaling, chosen.white)
    if task.loss == "mean_squared_error":
        return Split(x_train, x_train, x_test, x_test)
    return Split(x_train, found.y_train, x_test, found.y_test)


def scale(x_train: np.ndarray, x_test: np.ndarray, scaling: str, white: int | None) -> None:
    """In place: "standard" gives all training values together mean 0 and variance 1, "unit" makes white 1."""
    if scaling == "standard":
        mean = x_train.mean(dtype=np.float64)
        for x in (x_train, x_test):
            x -= mean
        # einsum sums in float64 without a copy: x_train.std() would make one, and a float32 sum drifts by 0.1 %.
        values = x_train.reshape(-1)
        deviation = math.sqrt(np.einsum("i,i->", values, values, dtype=np.float64) / values.size)
        for x in (x_train, x_test):
            x /= deviation
    if scaling == "unit":
        if white is None:
            raise ValueError("points have no white that could be 1: their scaling is 'standard' or 'raw'")
        for x in (x_train, x_test):
            x /= white
