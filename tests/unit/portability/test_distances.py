"""Distances, decisions and NaN."""

from __future__ import annotations

import numpy as np
import pytest

from crossframe.harness.portability.distances import classify_nan, count_decisions, measure_distances
from crossframe.harness.records.portability import DecisionCounts, NanBehaviour

EXPECTED = np.array([[1.0, 2.0], [3.0, 3.0], [0.0, 5.0]])


def nearest_outputs() -> np.ndarray:
    """Return the expected outputs in float32, with one of them off by one unit in the last place."""
    outputs = EXPECTED.astype(np.float32)
    outputs[1, 0] = np.nextafter(np.float32(3), np.float32(4))
    return outputs


def test_distances_of_close_outputs() -> None:
    distances = measure_distances(nearest_outputs(), EXPECTED)
    assert distances.max_ulp == pytest.approx(1)
    assert distances.max_abs == pytest.approx(float(np.spacing(np.float32(3))))
    assert distances.relative_error == pytest.approx(distances.max_abs / 5)
    assert distances.cosine == pytest.approx(1)
    assert distances.onnx_suite


def test_distances_of_distant_outputs() -> None:
    distances = measure_distances(nearest_outputs() + 1, EXPECTED)
    assert distances.max_abs == pytest.approx(1)
    assert not distances.onnx_suite


@pytest.mark.parametrize(
    ("outputs", "message"), [(nearest_outputs()[:2], "shape"), (nearest_outputs() * np.nan, "not finite")]
)
def test_outputs_that_cannot_be_compared(outputs: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        measure_distances(outputs, EXPECTED)


def test_ties_are_not_flips() -> None:
    counts = count_decisions("softmax_cross_entropy", nearest_outputs(), EXPECTED[:, ::-1], framework_error=1e-6)
    assert counts == DecisionCounts(labels=3, ties=1, flips=2)


def test_one_logit_decides_by_its_sign() -> None:
    actual, expected = np.array([[0.5], [-0.5], [1e-9]]), np.array([[0.5], [0.5], [-1e-9]])
    counts = count_decisions("binary_cross_entropy", actual, expected, framework_error=1e-6)
    assert counts == DecisionCounts(labels=3, ties=1, flips=1)


def test_regression_has_no_decisions() -> None:
    assert count_decisions("mean_squared_error", EXPECTED, EXPECTED, framework_error=0.0) is None


@pytest.mark.parametrize(
    ("row", "value", "behaviour"),
    [(1, np.nan, NanBehaviour.KEPT), (1, 0.0, NanBehaviour.SWALLOWED), (0, np.nan, NanBehaviour.SPREAD)],
)
def test_effects_of_nan(row: int, value: float, behaviour: NanBehaviour) -> None:
    clean = np.ones((3, 2))
    outputs = clean.copy()
    outputs[row] = value
    assert classify_nan(outputs, clean, row=1) == behaviour
