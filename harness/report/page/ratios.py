"""Values as text whose digits follow their interval, and ratios to a baseline, from the comparisons of a report."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from crossframe.harness.analysis.model import Metric, RankedComparison
from crossframe.harness.records.model import Family


def decimals_for(value: float, low: float | None, high: float | None) -> int:
    """Return the number of decimals that shows two digits of the interval; without one, three digits of the value."""
    if low is not None and high is not None and high > low:
        return min(6, max(0, 1 - math.floor(math.log10(high - low))))
    return min(6, max(0, 2 - math.floor(math.log10(abs(value))))) if value else 0


def format_value(metric: Metric, divisor: float = 1) -> str:
    """Return `value [low, high]`; a dash for a metric without a value."""
    if metric.value is None:
        return "-"
    value = metric.value / divisor
    low, high = (None if end is None else end / divisor for end in (metric.low, metric.high))
    decimals = decimals_for(value, low, high)
    interval = "" if low is None else f" [{low:,.{decimals}f}, {high:,.{decimals}f}]"
    return f"{value:,.{decimals}f}{interval}"


@dataclass(frozen=True)
class Ratio:
    """A ratio of two variants with its 95 % interval; None for the ends of a single round."""

    value: float
    low: float | None = None
    high: float | None = None

    def invert(self) -> Ratio:
        """Return the ratio the other way round."""
        return Ratio(1 / self.value, self.high and 1 / self.high, self.low and 1 / self.low)

    def __str__(self) -> str:
        narrow = self.low is None or self.high is None or self.high <= self.low
        decimals = 2 if narrow else min(3, decimals_for(self.value, self.low, self.high))
        interval = "" if self.low is None else f" [{self.low:.{decimals}f}, {self.high:.{decimals}f}]"
        return f"{self.value:.{decimals}f}x{interval}"


class Ratios:
    """The ratios of all compared pairs of a report; the baseline is the variant that is compared most often."""

    def __init__(self, comparisons: Iterable[RankedComparison]) -> None:
        self.ratios: dict[tuple[Family, str, str, str], Ratio] = {}
        count: Counter[str] = Counter()
        for pair in comparisons:
            family = Family(pair.task, pair.device, pair.precision, pair.batch_size)
            ratio = Ratio(pair.ratio, pair.low, pair.high)
            self.ratios[family, pair.metric, pair.a, pair.b] = ratio
            self.ratios[family, pair.metric, pair.b, pair.a] = ratio.invert()
            count.update((pair.a, pair.b))
        self.variants = sorted(count)
        self.baseline = max(self.variants, key=lambda name: count[name], default=None)

    def to_baseline(self, family: Family, metric: str, variant: str) -> Ratio | None:
        """Return the ratio of a variant to the baseline; None if they are not compared."""
        return self.ratios.get((family, metric, variant, self.baseline)) if self.baseline else None
