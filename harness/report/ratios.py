"""Values as text whose digits follow their interval, and ratios to a baseline, from the comparisons of a report."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from crossframe.harness.analysis.labels import ABSENT
from crossframe.harness.analysis.model import Metric, RankedComparison
from crossframe.harness.records.model import Family

MOST_DIGITS = 4  # of a value, however narrow its interval is
DIGITS_WITHOUT_INTERVAL = 3
NARROWEST = 1e-6  # relative width of an interval


def has_width(low: float | None, high: float | None) -> bool:
    """Return whether there is an interval: processes of one seed often have equal values, up to rounding."""
    return low is not None and high is not None and high - low > NARROWEST * abs(high)


def decimals_for(value: float, low: float | None, high: float | None) -> int:
    """Return the decimals of a value by its interval; negative ones round to tens, hundreds and so on.

    Half of the interval shows one digit, or two if these are less than 36, as in the rule of the Particle Data Group.
    """
    leading = math.floor(math.log10(abs(value))) if value else 0
    if low is None or high is None or not has_width(low, high):
        return DIGITS_WITHOUT_INTERVAL - 1 - leading if value else 0
    return min(1 - math.floor(math.log10((high - low) / 2 / 0.355)), MOST_DIGITS - 1 - leading)


def format_number(value: float, decimals: int) -> str:
    """Return a number with thousands separators and so many decimals."""
    return f"{round(value, decimals):,.{max(0, decimals)}f}"


def format_value(metric: Metric, divisor: float = 1) -> str:
    """Return `26,900 ±3 %`, the distance to the farther end of the interval; a dash for a metric without a value."""
    if metric.value is None:
        return ABSENT
    value = metric.value / divisor
    low, high = scale_interval(metric, divisor)
    text = format_number(value, decimals_for(value, low, high))
    return f"{text} {format_distance(metric)}".rstrip()


def format_distance(metric: Metric) -> str:
    """Return the distance of the value to the farther end of its interval as `±3 %`; empty without an interval."""
    low, high, value = metric.low, metric.high, metric.value
    if not value or low is None or high is None or not has_width(low, high):
        return ""
    distance = 100 * max(high - value, value - low) / abs(value)
    if distance > 100:
        return "±>100 %"
    return f"±{distance:.{0 if distance >= 1 else 1}f} %" if distance >= 0.1 else "±<0.1 %"


def format_interval(metric: Metric, divisor: float = 1) -> str:
    """Return `26,100 to 27,700`, or why there is no interval; the reason for a missing value."""
    if metric.value is None:
        return metric.reason or "not measured"
    low, high = scale_interval(metric, divisor)
    if low is None or high is None:
        return "one process: no interval"
    if not has_width(low, high):
        return f"the same in all {metric.n} processes"
    decimals = decimals_for(metric.value / divisor, low, high)
    return f"{format_number(low, decimals)} to {format_number(high, decimals)}"


def scale_interval(metric: Metric, divisor: float) -> tuple[float | None, float | None]:
    """Return the ends of the interval in another unit."""
    return (
        None if metric.low is None else metric.low / divisor,
        None if metric.high is None else metric.high / divisor,
    )


@dataclass(frozen=True)
class Ratio:
    """A ratio of two variants with its 95 % interval; None for the ends of a single round."""

    value: float
    low: float | None = None
    high: float | None = None

    def invert(self) -> Ratio:
        """Return the ratio the other way round."""
        return Ratio(1 / self.value, self.high and 1 / self.high, self.low and 1 / self.low)

    @property
    def decimals(self) -> int:
        """The number of decimals, from 0 to 3."""
        return max(0, min(3, decimals_for(self.value, self.low, self.high)))

    @property
    def interval(self) -> str:
        """The interval as `1.52 to 2.09`; empty if there is none."""
        if not has_width(self.low, self.high):
            return ""
        return f"{self.low:.{self.decimals}f} to {self.high:.{self.decimals}f}"

    def __str__(self) -> str:
        return f"{self.value:.{self.decimals}f}x"


class Ratios:
    """The ratios of all compared pairs of a report; the baseline is the variant that is compared most often."""

    def __init__(self, comparisons: Iterable[RankedComparison]) -> None:
        self.ratios: dict[tuple[Family, str, str, str], Ratio] = {}
        count: Counter[str] = Counter()
        for pair in comparisons:
            family = Family(pair.task, pair.device, pair.precision, pair.batch_size)
            self.ratios[family, pair.metric, pair.a, pair.b] = Ratio(pair.ratio, pair.low, pair.high)
            count.update((pair.a, pair.b))
        self.variants = sorted(count)
        self.baseline = max(self.variants, key=lambda name: count[name], default=None)

    def find(self, family: Family, metric: str, variant: str, rival: str) -> Ratio | None:
        """Return the ratio of a variant to a rival; None if they are not compared."""
        ratio = self.ratios.get((family, metric, variant, rival))
        inverse = None if ratio else self.ratios.get((family, metric, rival, variant))
        return inverse.invert() if inverse else ratio

    def to_baseline(self, family: Family, metric: str, variant: str) -> Ratio | None:
        """Return the ratio of a variant to the baseline; None if they are not compared."""
        return self.find(family, metric, variant, self.baseline) if self.baseline else None
