"""Near ties are decided the other way; exact ties and clear cases are not."""

import numpy as np
import pytest

from crossframe.harness.parity import near_ties
from crossframe.tasks import spec

NEAR = np.float32(near_ties.NEAR / 4)


def test_relu_inputs_next_to_zero_are_flipped() -> None:
    x = np.array([[-NEAR, NEAR, 0.0, -1.0, 1.0]], np.float32)
    _, positive = near_ties.flip_relu(spec.ReLU(), {}, x)
    assert positive.tolist() == [[True, False, False, False, True]]


def test_nearly_equal_values_of_a_pooling_window_are_flipped() -> None:
    # The windows hold a near tie, an exact tie, and no tie.
    x = np.array([[[[1 - NEAR, 1, 0.5, 0.5, 0.3, 0.1], [0, 0, 0, 0, 0.2, 0.6]]]], np.float32)
    y, (_, indices) = near_ties.flip_pool(spec.MaxPool2D(2), {}, x)
    assert y.ravel().tolist() == pytest.approx([1, 0.5, 0.6])
    assert indices.ravel().tolist() == [0, 0, 3]
