"""Figures as text whose digits follow their interval, and ratios to a named baseline, from the report's comparisons."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from crossframe.harness.analysis.ranking import FAMILY, Key

Ratio = tuple[float, float | None, float | None]


def decimals(value: float, low: float | None, high: float | None) -> int:
    """So many that the interval shows two digits; three digits of the value where there is none."""
    if low is not None and high is not None and high > low:
        return min(6, max(0, 1 - math.floor(math.log10(high - low))))
    return min(6, max(0, 2 - math.floor(math.log10(abs(value))))) if value else 0


def text(figure: dict[str, Any], divisor: float = 1) -> str:
    """`value [low, high]`; a dash for what was not measured."""
    if figure["value"] is None:
        return "-"
    value = figure["value"] / divisor
    low, high = (None if figure[end] is None else figure[end] / divisor for end in ("low", "high"))
    places = decimals(value, low, high)
    return f"{value:,.{places}f}" + (f" [{low:,.{places}f}, {high:,.{places}f}]" if low is not None else "")


class Ratios:
    """Every ratio of two cells that the report compares, and the baseline that most cells can be held against."""

    def __init__(self, comparisons: list[dict[str, Any]]):
        self.found: dict[tuple[Key, str, str, str], Ratio] = {}
        met: Counter[str] = Counter()
        for one in comparisons:
            key, metric = tuple(one[name] for name in FAMILY), one["metric"]
            ratio, low, high = one["ratio"], one["low"], one["high"]
            self.found[key, metric, one["a"], one["b"]] = ratio, low, high
            self.found[key, metric, one["b"], one["a"]] = 1 / ratio, high and 1 / high, low and 1 / low
            met.update((one["a"], one["b"]))
        self.candidates = sorted(met)
        self.baseline = max(self.candidates, key=lambda name: met[name], default=None)

    def to_baseline(self, key: Key, metric: str | None, candidate: str) -> Ratio | None:
        """(ratio, low, high) of a candidate's figure to the baseline's; None where they are not compared."""
        if metric is None or self.baseline is None:
            return None
        return self.found.get((key, metric, candidate, self.baseline))

    def shown(self, key: Key, metric: str | None, candidate: str) -> str:
        ratio = self.to_baseline(key, metric, candidate)
        if ratio is None:
            return ""
        value, low, high = ratio
        places = 2 if low is None or high is None else min(3, decimals(value, low, high))
        return f"{value:.{places}f}x" + (f" [{low:.{places}f}, {high:.{places}f}]" if low is not None else "")
