"""The cut of warm-up, and intervals of a median and of a difference."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache, lru_cache

import numpy as np
from scipy import special

from crossframe.harness.analysis.model import Metric

LEVEL = 0.05  # of a family of tests, and 1 minus the coverage of an interval


def steady(samples: Sequence[float]) -> np.ndarray:
    """Return the samples after warm-up, by the rule MSER of White 1997.

    Cut off the first d samples, at most half of them, for which the standard error of the mean of the rest,
    sqrt(sum of squares) / (n - d), is least.
    """
    return _cut_warm_up(tuple(samples))


@lru_cache(2**16)  # several metrics follow from the same samples, and cells, ranks and decisions read them again
def _cut_warm_up(samples: tuple[float, ...]) -> np.ndarray:
    values = np.asarray(samples, float)
    centred = (values - mean(values))[::-1]  # sums over the last samples; centred, so that no digits cancel
    count = np.arange(1, len(values) + 1)
    squares = np.maximum((centred**2).cumsum() - centred.cumsum() ** 2 / count, 0)
    errors = (np.sqrt(squares) / count)[::-1]
    return values[int(errors[: len(values) // 2 + 1].argmin()) :]


def mean(values: np.ndarray, axis: int = -1) -> np.ndarray:
    """Return the means over an axis. They equal those of `numpy.mean`, which takes three times as long on so few."""
    means: np.ndarray = np.add.reduce(values, axis=axis) / values.shape[axis]
    return means


def median(values: np.ndarray) -> np.ndarray:
    """Return the medians over the last axis. They equal those of `numpy.median`, which takes six times as long."""
    ordered, n = np.sort(values), values.shape[-1]
    middle: np.ndarray = (ordered[..., (n - 1) // 2] + ordered[..., n // 2]) / 2
    return middle


def moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the means and the variances of samples of (..., n) values over the last axis, n > 1.

    They equal `numpy.mean` and `numpy.var` with `ddof=1`, which take four times as long on so few values.
    """
    middle = mean(values)
    deviations = values - middle[..., None]
    variance: np.ndarray = np.add.reduce(deviations * deviations, axis=-1) / (values.shape[-1] - 1)
    return middle, variance


@cache
def _student_quantile(freedom: int) -> float:
    return float(special.stdtrit(freedom, 1 - LEVEL / 2))


def median_interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of the 95 % intervals of the medians of samples of (..., n) values, n > 1.

    From 6 values on it is that of the sign test, interpolated between order statistics (Hettmansperger and Sheather
    1986), which holds for every distribution. Fewer values can't give 95 % that way; theirs is Student's interval,
    which assumes a normal distribution. The bootstrap's percentiles would cover 50 % at n = 2 and 90 to 93 % from 6 to
    15: `tests/unit/analysis/test_statistics.py` counts.
    """
    n = values.shape[-1]
    if n < 6:
        middle, variance = moments(values)
        half = _student_quantile(n - 1) * np.sqrt(variance) / math.sqrt(n)
        return middle - half, middle + half
    ordered = np.sort(values)
    d, weight = _interpolate_sign_test(n)
    low: np.ndarray = (1 - weight) * ordered[..., d - 1] + weight * ordered[..., d]
    high: np.ndarray = (1 - weight) * ordered[..., n - d] + weight * ordered[..., n - d - 1]
    return low, high


@cache
def _interpolate_sign_test(n: int) -> tuple[int, float]:
    """Return d and the weight of the next value inwards: the interval of n values begins near the d-th smallest."""
    # outside(d): the probability that the median lies outside of the d-th smallest and the d-th largest value
    outside = 2 * np.cumsum([math.comb(n, j) for j in range(n // 2)]) / 2**n
    d = int(np.sum(outside < LEVEL))
    share = (LEVEL - outside[d - 1]) / (outside[d] - outside[d - 1])
    return d, float((n - d) * share / (d + (n - 2 * d) * share))


def interval(values: Sequence[float]) -> Metric:
    """Return the median over processes and its 95 % interval, which one process can't give."""
    return list_intervals([values])[0]


def list_intervals(samples: Sequence[Sequence[float]]) -> list[Metric]:
    """Return `interval` of each sample. Those of one length are computed together, which takes a fifth of the time."""
    members: dict[int, list[int]] = {}
    for index, values in enumerate(samples):
        members.setdefault(len(values), []).append(index)
    metrics: dict[int, Metric] = {}
    for n, indices in members.items():
        array = np.array([samples[index] for index in indices], float)
        ends = _find_ends(array) if n > 1 else [(None, None)] * len(indices)
        for index, middle, (low, high) in zip(indices, median(array).tolist(), ends):
            metrics[index] = Metric(middle, low, high, n)
    return [metrics[index] for index in range(len(samples))]


def _find_ends(array: np.ndarray) -> list[tuple[float, float]]:
    """Return the ends of the intervals of (samples, n) values: on a logarithmic scale where all values are positive."""
    positive = array.min(axis=1) > 0
    low, high = median_interval(np.log(array, out=array.copy(), where=positive[:, None]))
    low, high = (np.exp(end, out=end.copy(), where=positive) for end in (low, high))
    # exp(log(x)) may be off by one unit in the last place, which must not push the median out.
    middle = median(array)
    return list(zip(np.minimum(low, middle).tolist(), np.maximum(high, middle).tolist()))


def difference(a: np.ndarray, b: np.ndarray) -> tuple[float, float, float]:
    """Return the difference of means of (n,) and (m,) logarithms, n and m > 1, and its 95 % interval by Welch 1947."""
    (mean_a, variance_a), (mean_b, variance_b) = moments(a), moments(b)
    gap = float(mean_a - mean_b)
    parts = np.array([variance_a / len(a), variance_b / len(b)])
    if not parts.any():
        return gap, gap, gap
    freedom = parts.sum() ** 2 / (parts**2 / (len(a) - 1, len(b) - 1)).sum()
    half = float(special.stdtrit(freedom, 1 - LEVEL / 2) * math.sqrt(parts.sum()))
    return gap, gap - half, gap + half
