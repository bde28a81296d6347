"""Rounding to few bits is to nearest, ties to even."""

import numpy as np
import pytest

from crossframe.harness.parity import low_precision


@pytest.mark.parametrize(
    ("bits", "value", "rounded"),
    [
        (8, 1.0 + 2**-8, 1.0),  # halfway, to even
        (8, 1.0 + 3 * 2**-8, 1.0 + 2**-6),  # halfway, to even
        (8, 1.0 + 2**-8 + 2**-20, 1.0 + 2**-7),
        (8, -(1.0 + 2**-8 + 2**-20), -(1.0 + 2**-7)),
        (11, 1.0 + 2**-11, 1.0),
        (11, 1.0 + 2**-10, 1.0 + 2**-10),
    ],
)
def test_rounding_is_to_nearest_and_ties_to_even(bits: int, value: float, rounded: float) -> None:
    assert low_precision.round_to_bits(bits)(np.array([value])) == [rounded]


def test_every_precision_with_rounding_has_a_near_tie() -> None:
    assert low_precision.ROUNDING.keys() == low_precision.TIE.keys()


def test_eleven_bits_are_those_of_binary16() -> None:
    x = np.random.default_rng(0).normal(size=1000)
    x = x[np.abs(x) > 1e-3]  # binary16 has subnormals below
    np.testing.assert_array_equal(low_precision.round_to_bits(11)(x), low_precision.round_to_half(x))
