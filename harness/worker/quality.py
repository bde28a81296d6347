"""The quality of outputs, computed from arrays by the same code for every backend."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from crossframe.tasks.spec import Loss


def mean_loss(loss: Loss, outputs: np.ndarray, y: np.ndarray) -> float:
    """Return the loss of `crossframe.tasks.spec.Task` over all samples, computed in float64.

    `outputs` is (samples, ...); `y` holds labels (samples,) or targets of the shape of `outputs`.
    """
    z = outputs.astype(np.float64)
    if loss == "binary_cross_entropy":
        return float(np.mean(np.logaddexp(0, z[:, 0]) - y * z[:, 0]))
    if loss == "softmax_cross_entropy":
        top = z.max(axis=1, keepdims=True)
        log_sum = top[:, 0] + np.log(np.exp(z - top).sum(axis=1))
        return float(np.mean(log_sum - z[np.arange(len(y)), y]))
    return float(np.mean((z - y) ** 2))


def classification_metrics(predicted: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Return accuracy, and precision, recall and F1 as plain means over the classes of `y` (macro); 0/0 counts as 0."""
    precision, recall, f1 = [], [], []
    for label in np.unique(y):
        hits = float(np.sum((predicted == label) & (y == label)))
        p = hits / max(float(np.sum(predicted == label)), 1.0)
        r = hits / float(np.sum(y == label))
        precision.append(p)
        recall.append(r)
        f1.append(2 * p * r / (p + r) if p + r else 0.0)
    return {
        "accuracy": float(np.mean(predicted == y)),
        "precision": float(np.mean(precision)),
        "recall": float(np.mean(recall)),
        "f1": float(np.mean(f1)),
    }


QUALITY_FUNCTIONS: dict[Loss, Callable[[np.ndarray, np.ndarray], dict[str, float]]] = {
    "binary_cross_entropy": lambda z, y: classification_metrics((z[:, 0] > 0).astype(np.int64), y),
    "softmax_cross_entropy": lambda z, y: classification_metrics(z.argmax(axis=1), y),
    "mean_squared_error": lambda z, y: {"mse": mean_loss("mean_squared_error", z, y)},
}


def compute_quality(loss: Loss, outputs: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Return the quality metrics of a loss for outputs (samples, ...) and targets y (samples, ...), by name."""
    return QUALITY_FUNCTIONS[loss](outputs, y)


def pca_mse(x_train: np.ndarray, x_test: np.ndarray, components: int) -> float:
    """Return the mean squared error on x_test (samples, features) of the best linear autoencoder.

    That is the projection on the first `components` principal components of x_train: Baldi and Hornik 1989.
    """
    mean = x_train.mean(axis=0, dtype=np.float64)
    axes = np.linalg.svd(x_train - mean, full_matrices=False)[2][:components]
    centred = x_test - mean
    return float(np.mean((centred - centred @ axes.T @ axes) ** 2))
