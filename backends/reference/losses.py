"""Losses in NumPy: (outputs, targets) -> (mean over the batch, its gradient with respect to the outputs)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def binary_cross_entropy(logits: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the loss of logits (batch, 1) for y (batch,) of 0 and 1."""
    z, y = logits[:, 0], y.astype(logits.dtype)
    # log(1 + e^z) - y z, in a form that does not overflow.
    loss = np.maximum(z, 0) - y * z + np.log1p(np.exp(-np.abs(z)))
    probability = (1 + np.tanh(z / 2)) / 2
    return float(loss.mean()), ((probability - y) / len(y))[:, None]


def softmax_cross_entropy(logits: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the loss of logits (batch, classes) for y (batch,) of class numbers."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probability = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    rows = np.arange(len(y))
    gradient = np.exp(log_probability)
    gradient[rows, y] -= 1
    return float(-log_probability[rows, y].mean()), gradient / len(y)


def mean_squared_error(outputs: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the loss of outputs for y, both (batch, features): the mean over both axes, without a factor of a half."""
    difference = outputs - y
    return float((difference**2).mean()), 2 * difference / difference.size


LOSSES: dict[str, Callable[[np.ndarray, np.ndarray], tuple[float, np.ndarray]]] = {
    "binary_cross_entropy": binary_cross_entropy,
    "softmax_cross_entropy": softmax_cross_entropy,
    "mean_squared_error": mean_squared_error,
}
