"""Values and ratios as text: digits by the interval, and no interval of width zero."""

import pytest

from crossframe.harness.analysis.model import Metric
from crossframe.harness.report.ratios import Ratio, decimals_for, format_interval, format_value


@pytest.mark.parametrize(
    ("metric", "text", "interval"),
    [
        (Metric(None, reason="the target was not reached"), "-", "the target was not reached"),
        (Metric(26912.3, 26100.0, 27700.0, 5), "26,900 ±3 %", "26,100 to 27,700"),
        (Metric(1.9, 1.4, 2.2, 5), "1.9 ±26 %", "1.4 to 2.2"),
        (Metric(0.12345, 0.1231, 0.1239, 5), "0.1235 ±0.4 %", "0.1231 to 0.1239"),
        (Metric(1234.5, 1234.4, 1234.6, 5), "1,234 ±<0.1 %", "1,234 to 1,235"),
        (Metric(3.0, 1.0, 9.0, 5), "3 ±>100 %", "1 to 9"),
        (Metric(3210.644, 3210.644, 3210.644, 5), "3,210", "the same in all 5 processes"),  # one seed
        (Metric(0.975, 0.975, 0.975000001, 5), "0.975", "the same in all 5 processes"),  # up to rounding
        (Metric(0.0123456, n=1), "0.0123", "one process: no interval"),
        (Metric(0.0, n=1), "0", "one process: no interval"),
        (Metric(0.0, -1.0, 1.0, 5), "0.0", "-1.0 to 1.0"),
    ],
)
def test_digits_follow_the_interval(metric: Metric, text: str, interval: str) -> None:
    assert format_value(metric) == text
    assert format_interval(metric) == interval


def test_values_are_scaled_with_their_intervals() -> None:
    metric = Metric(0.0123, 0.0120, 0.0126, 5)
    assert format_value(metric, 1e-3) == "12.30 ±2 %"
    assert format_interval(metric, 1e-3) == "12.00 to 12.60"


@pytest.mark.parametrize(
    ("value", "half", "decimals"),
    [
        (4.0, 0.4, 1),
        (4.0, 0.3, 2),
        (0.5, 0.036, 2),
        (0.5, 0.035, 3),
        (40.0, 3.6, 0),
        (400.0, 40.0, -1),
        (5.0, 0.0001, 3),
    ],
)
def test_half_of_the_interval_has_one_digit_or_two_that_are_small(value: float, half: float, decimals: int) -> None:
    assert decimals_for(value, value - half, value + half) == decimals


def test_a_ratio_and_its_interval_have_the_same_digits() -> None:
    ratio = Ratio(1.9, 1.4, 2.2)
    assert (str(ratio), ratio.interval) == ("1.9x", "1.4 to 2.2")
    narrow = Ratio(1.688, 1.52, 2.09)
    assert (str(narrow), narrow.interval) == ("1.69x", "1.52 to 2.09")
    single = Ratio(1.5)
    assert (str(single), single.interval) == ("1.50x", "")
