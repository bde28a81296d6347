"""What every source of data gives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Split:
    """Samples to train on and held-out ones: x (n, *shape) of one sample each; y (n,) int64 labels, or x itself."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
