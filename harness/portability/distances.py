"""Distances of outputs from reference outputs, and the labels that the outputs predict. NumPy only."""

from __future__ import annotations

import numpy as np

from crossframe.harness.records.portability import DecisionCounts, Distances, NanBehaviour
from crossframe.tasks.spec import Loss

SUITE_TOLERANCES = (1e-3, 1e-7)  # relative and absolute, of the ONNX project's backend tests
NEIGHBOUR_TOLERANCES = (1e-3, 1e-4)  # of samples beside a NaN: relative, and absolute per largest output


def measure_distances(actual: np.ndarray, expected: np.ndarray) -> Distances:
    """Return the distances of float32 outputs from float64 reference outputs of the same shape.

    Raise ValueError if the shapes differ, or if values are not finite where the expected ones are.
    """
    if actual.shape != expected.shape:
        raise ValueError(f"shape {actual.shape} instead of {expected.shape}")
    difference = np.abs(actual.astype(np.float64) - expected)
    if not np.isfinite(difference).all():
        raise ValueError("values are not finite where the reference values are")
    max_abs = float(difference.max(initial=0.0))
    largest = float(np.abs(expected).max(initial=0.0))
    norms = np.linalg.norm(actual.astype(np.float64)) * np.linalg.norm(expected)
    spacing = np.spacing(np.maximum(np.abs(expected), np.finfo(np.float32).tiny).astype(np.float32))
    return Distances(
        max_abs=max_abs,
        relative_error=max_abs / (largest or 1.0),
        max_ulp=float((difference / spacing).max(initial=0.0)),
        cosine=float(np.sum(actual * expected) / norms) if norms else 1.0,
        onnx_suite=bool(np.allclose(actual, expected, *SUITE_TOLERANCES)),
    )


def predict_labels(loss: Loss, outputs: np.ndarray) -> np.ndarray | None:
    """Return the label of each sample, (batch, classes) -> (batch,); None for a regression."""
    if loss == "mean_squared_error":
        return None
    return np.asarray(outputs[:, 0] > 0 if loss == "binary_cross_entropy" else outputs.argmax(axis=1))


def decision_margins(loss: Loss, outputs: np.ndarray) -> np.ndarray:
    """Return the margin of each sample's label over the second: (batch, classes) -> (batch,).

    For one logit the margin is twice its absolute value, since both classes have the logits z and -z.
    """
    if loss == "binary_cross_entropy":
        return np.asarray(2 * np.abs(outputs[:, 0]))
    ascending = np.sort(outputs, axis=1)
    return np.asarray(ascending[:, -1] - ascending[:, -2])


def count_decisions(
    loss: Loss, actual: np.ndarray, expected: np.ndarray, framework_error: float
) -> DecisionCounts | None:
    """Return the numbers of labels, of ties and of other labels that differ; None for a regression.

    A tie is a margin of at most twice `framework_error`, the largest error of the exporting framework.
    """
    expected_labels, actual_labels = predict_labels(loss, expected), predict_labels(loss, actual)
    if expected_labels is None or actual_labels is None:
        return None
    ties = decision_margins(loss, expected) <= 2 * framework_error
    flips = (expected_labels != actual_labels) & ~ties
    return DecisionCounts(len(expected_labels), int(ties.sum()), int(flips.sum()))


def classify_nan(outputs: np.ndarray, clean: np.ndarray, row: int) -> NanBehaviour:
    """Return the effect of a NaN sample at `row` on its batch; `clean` are the outputs without it."""
    neighbours = np.delete(np.arange(len(outputs)), row)
    relative, absolute = NEIGHBOUR_TOLERANCES
    tolerance = absolute * float(np.abs(clean).max(initial=1.0))
    if not np.allclose(outputs[neighbours], clean[neighbours], rtol=relative, atol=tolerance):
        return NanBehaviour.SPREAD
    return NanBehaviour.KEPT if np.isnan(outputs[row]).any() else NanBehaviour.SWALLOWED
