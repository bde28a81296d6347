"""The tasks with their own layers and losses, at sizes where every computation takes milliseconds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from crossframe.tasks import discover, spec
from crossframe.tasks.spec import Task

SMALL: dict[str, dict[str, Any]] = {
    "circle": {},
    "cnn": {
        "input_shape": (2, 8, 8),
        "layers": (
            spec.Conv2D(3, size=3, padding=1), spec.ReLU(), spec.MaxPool2D(2),
            spec.Conv2D(4, size=3, padding=1), spec.ReLU(), spec.MaxPool2D(2),
            spec.Flatten(), spec.Dense(5), spec.ReLU(), spec.Dense(10),
        ),
    },
    "lstm": {"input_shape": (5, 6), "layers": (spec.LSTM(4), spec.LSTM(3), spec.LastStep(), spec.Dense(10))},
    "resnet": {
        "input_shape": (2, 6, 6),
        "layers": (
            spec.Conv2D(3, size=3, padding=1, bias=False), spec.BatchNorm(), spec.SiLU(),
            spec.Residual((spec.Conv2D(3, size=3, padding=1, bias=False), spec.BatchNorm())), spec.SiLU(),
            spec.Residual(
                (spec.Conv2D(4, size=3, padding=1, stride=2, bias=False), spec.BatchNorm()),
                (spec.Conv2D(4, size=1, padding=0, stride=2, bias=False), spec.BatchNorm()),
            ),
            spec.SiLU(), spec.GlobalAveragePool(), spec.Dense(10),
        ),
    },
    "autoencoder": {"input_shape": (12,), "layers": (spec.Dense(7), spec.ReLU(), spec.Dense(12))},
}  # fmt: skip


def small_task(name: str) -> Task:
    """Return the small version of a task."""
    return replace(discover()[name]["standard"], **SMALL[name])


def draw_samples(task: Task, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return drawn inputs (count, *input_shape) and labels (count,) or targets of the shape of the inputs."""
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(count, *task.input_shape))
    if task.loss == "mean_squared_error":
        return x, generator.normal(size=x.shape)
    return x, generator.integers(0, 2 if task.loss == "binary_cross_entropy" else 10, count)
