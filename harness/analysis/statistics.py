"""Intervals, ratios, tests and tiers. The unit is a process: samples within one process share its luck.

Everything except the cut of warm-up is computed on logarithms, since costs differ by factors: a variant is twice as
fast, not 3 ms faster. The functions take numbers; `crossframe.harness.analysis.ranking` reads them from records.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import combinations, product
from typing import Literal

import numpy as np
from scipy import special

from crossframe.harness.analysis.model import Metric

LEVEL = 0.05  # of a family of tests, and 1 minus the coverage of an interval
POWER = 0.8  # the probability with which `runs_needed` is to detect a difference
# Four or more variants (six pairs) show the effect of a round so well that the unpaired test detects more than the
# paired one until the latter could reach a p four times as small: `python -m tests.benchmarks.power`.
MANY_PAIRS, RESERVE = 6, 4
EXACT = 10_000  # up to this many permutations all are tried; of more, 9,999 are drawn

Rounds = Mapping[int, float]  # round (the number of a repeat) -> one metric of its process, above 0
Better = Literal["less", "more"]


def steady(samples: Sequence[float]) -> np.ndarray:
    """Return the samples after warm-up, by the rule MSER of White 1997.

    Cut off the first d samples, at most half of them, for which the standard error of the mean of the rest,
    sqrt(sum of squares) / (n - d), is least.
    """
    return _cut_warm_up(tuple(samples))


@lru_cache(2**16)  # several metrics follow from the same samples, and cells, ranks and decisions read them again
def _cut_warm_up(samples: tuple[float, ...]) -> np.ndarray:
    values = np.asarray(samples, float)
    centred = (values - values.mean())[::-1]  # sums over the last samples; centred, so that no digits cancel
    count = np.arange(1, len(values) + 1)
    squares = np.maximum(np.cumsum(centred**2) - np.cumsum(centred) ** 2 / count, 0)
    errors = (np.sqrt(squares) / count)[::-1]
    return values[int(np.argmin(errors[: len(values) // 2 + 1])) :]


def median_interval(values: np.ndarray) -> tuple[float, float]:
    """Return the 95 % interval of the median of (n,) values, n > 1.

    From 6 values on it is that of the sign test, interpolated between order statistics (Hettmansperger and Sheather
    1986), which holds for every distribution. Fewer values can't give 95 % that way; theirs is Student's interval,
    which assumes a normal distribution. The bootstrap's percentiles would cover 50 % at n = 2 and 90 to 93 % from 6 to
    15: `tests/unit/analysis/test_statistics.py` counts.
    """
    n, ordered = len(values), np.sort(values)
    if n < 6:
        half = special.stdtrit(n - 1, 1 - LEVEL / 2) * values.std(ddof=1) / math.sqrt(n)
        return float(values.mean() - half), float(values.mean() + half)
    # outside(d): the probability that the median lies outside of the d-th smallest and the d-th largest value
    outside = 2 * np.cumsum([math.comb(n, j) for j in range(n // 2)]) / 2**n
    d = int(np.sum(outside < LEVEL))
    share = (LEVEL - outside[d - 1]) / (outside[d] - outside[d - 1])
    weight = (n - d) * share / (d + (n - 2 * d) * share)
    low = (1 - weight) * ordered[d - 1] + weight * ordered[d]
    return float(low), float((1 - weight) * ordered[n - d] + weight * ordered[n - d - 1])


def interval(values: Sequence[float]) -> Metric:
    """Return the median over processes and its 95 % interval, which one process can't give."""
    array = np.asarray(values, float)
    if len(array) < 2:
        return Metric(values[0], n=len(array))
    if array.min() > 0:
        low, high = (math.exp(end) for end in median_interval(np.log(array)))
    else:
        low, high = median_interval(array)
    median = float(np.median(array))
    # exp(log(x)) may be off by one unit in the last place, which must not push the median out.
    return Metric(median, min(low, median), max(high, median), len(array))


@dataclass(frozen=True)
class Comparison:
    """Variant `a` against `b`: the median over shared rounds of a's metric divided by b's, and its 95 % interval."""

    a: str
    b: str
    ratio: float
    low: float | None  # None for one round
    high: float | None
    p: float  # adjusted for the family, by Holm
    separated: bool
    more_runs: int | None  # about this many more rounds would settle it; None: settled
    rounds: int

    @property
    def firm(self) -> bool:
        """Whether an interval twice as wide would still leave out 1, as a test that is repeated each round requires.

        A test at 5 % that is repeated after each round calls more than 5 % of equal pairs different (Armitage 1969):
        here 12 % within 30 rounds; this one 1 %.
        """
        if not self.separated or self.low is None or self.high is None:
            return False
        gap = abs(math.log(self.ratio))
        return gap > 2 * max(math.log(self.high / self.ratio), math.log(self.ratio / self.low))


@cache
def draw_flips(n: int) -> np.ndarray:
    """Return (permutations, n): the signs of n paired differences, all of them, or the given ones and 9,999 drawn."""
    if 2**n <= EXACT:
        return np.array(list(product((1.0, -1.0), repeat=n)))
    drawn = np.random.default_rng(0).choice((1.0, -1.0), (EXACT - 1, n))
    return np.concatenate([np.ones((1, n)), drawn])


@cache
def draw_splits(n: int, m: int) -> np.ndarray:
    """Return (permutations, n + m): 1 for the n values assigned to a, -1 for the m assigned to b, all or drawn ones."""
    given = np.repeat((1.0, -1.0), (n, m))
    if math.comb(n + m, n) > EXACT:
        drawn = np.random.default_rng(0).permuted(np.tile(given, (EXACT - 1, 1)), axis=1)
        return np.concatenate([given[None], drawn])
    splits = np.full((math.comb(n + m, n), n + m), -1.0)
    for row, members in enumerate(combinations(range(n + m), n)):
        splits[row, list(members)] = 1.0
    return splits


def is_paired(n: int, pairs: int) -> bool:
    """Return whether so many rounds of a family of so many pairs are compared by the paired test.

    They are as soon as it can reach significance: n differences of one sign have p = 2 / 2^n. Before, only the unpaired
    test can. The choice depends on the two numbers alone, never on the values, so that it costs no significance.
    """
    reserve = RESERVE if pairs >= MANY_PAIRS else 1
    return 0.5 ** (n - 1) <= LEVEL / pairs / reserve


def paired_from(pairs: int) -> int:
    """Return the number of rounds from which a family of so many pairs is compared by the paired test."""
    return next(n for n in range(2, 64) if is_paired(n, pairs))


def smallest_p(n: int, pairs: int) -> float:
    """Return the smallest p that n rounds can reach in such a family, however far apart the two sides are."""
    return 2 / (2**n if is_paired(n, pairs) else math.comb(2 * n, n))


def fewest_rounds(pairs: int) -> int:
    """Return the fewest rounds after which one of this many pairs can be separated. Fewer are not enough evidence."""
    return next(n for n in range(2, 64) if smallest_p(n, pairs) <= LEVEL / pairs)


def round_effects(logarithms: np.ndarray) -> np.ndarray:
    """Return what each round did to the variants outside of a pair: (variants, n) logarithms -> (n,).

    It is the median over the variants, each relative to its own median, so that a disturbance of a single process does
    not enter. It is shrunk by the share of its variance that the noise of the variants explains (James and Stein 1961),
    so that on a machine without drift hardly anything is removed. 0 where there are no such variants.
    """
    variants, n = logarithms.shape
    if not variants or n < 2:
        return np.zeros(n)
    relative = logarithms - np.median(logarithms, axis=1, keepdims=True)
    effects: np.ndarray = np.median(relative, axis=0)
    if variants == 1:
        return effects
    centred = relative - relative.mean(axis=1, keepdims=True)
    means = centred.mean(axis=0)
    noise = float(((centred - means) ** 2).sum()) / ((variants - 1) * (n - 1)) / variants
    variance = float(means.var(ddof=1))
    return effects * max(0.0, 1 - noise / variance) if variance > 0 else np.zeros(n)


def p_value(a: np.ndarray, b: np.ndarray, pairs: int) -> float:
    """Return the two-sided p of a permutation test on the difference of means of (n,) and (n,) logarithms by round.

    Paired (Fisher 1935): signs are flipped within rounds; exact, whatever a round does to both sides. Unpaired (Pitman
    1937): all values are shuffled between the sides. That is exact where rounds have no effect. An effect that both
    sides share widens the distribution under shuffling and leaves the measured difference as it is: the test errs less
    often, and detects less. `round_effects` removes what the other variants show of it. These share no noise with the
    pair, so the two sides stay exchangeable within each round, and what their own noise adds is one more shared effect.
    """
    return _permute(a - b, draw_flips(len(a))) if is_paired(len(a), pairs) else p_unpaired(a, b)


def p_unpaired(a: np.ndarray, b: np.ndarray) -> float:
    """Return the two-sided p of a permutation test on the difference of means of (n,) and (m,) logarithms."""
    values = np.concatenate([a, b])
    return _permute(values - values.mean(), draw_splits(len(a), len(b)))  # centred, to keep the rounding of sums small


def _permute(values: np.ndarray, signs: np.ndarray) -> float:
    sums = np.abs(signs @ values)
    return float(np.mean(sums >= sums[0] - 1e-12))  # the given order is the first row


def difference(a: np.ndarray, b: np.ndarray) -> tuple[float, float, float]:
    """Return the difference of means of (n,) and (m,) logarithms, n and m > 1, and its 95 % interval by Welch 1947."""
    gap = float(a.mean() - b.mean())
    parts = np.array([a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)])
    if not parts.any():
        return gap, gap, gap
    freedom = parts.sum() ** 2 / (parts**2 / (len(a) - 1, len(b) - 1)).sum()
    half = float(special.stdtrit(freedom, 1 - LEVEL / 2) * math.sqrt(parts.sum()))
    return gap, gap - half, gap + half


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p values adjusted so that the whole family errs with 5 %: Holm 1979."""
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(np.argsort(p_values, kind="stable")):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def joint_p(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the p that (n, tests) logarithms are larger than (m, tests): one-sided, adjusted for all tests together.

    Westfall and Young 1993, single-step: whole rows, the repeats of two runs, are shuffled between a and b, and each
    test is compared with the largest correlation of any test with the sides. Rows keep together what a repeat shares,
    so tests that say the same cost nothing, unlike in Holm's correction.
    """
    values = np.concatenate([a, b])
    values = values - values.mean(axis=0)
    signs = draw_splits(len(a), len(b))
    signs = signs - signs.mean(axis=1, keepdims=True)
    norms = np.sqrt((values**2).sum(axis=0) * (signs[0] ** 2).sum())
    correlations = signs @ np.divide(values, norms, out=np.zeros_like(values), where=norms > 1e-12)
    shares: np.ndarray = (correlations.max(axis=1)[:, None] >= correlations[0] - 1e-12).mean(axis=0)
    return shares


def runs_needed(a: np.ndarray, b: np.ndarray, indifferent: float, pairs: int) -> int:
    """Return about how many rounds settle a pair, from its (n,) and (n,) logarithms: separate it, or show it equal.

    n = pi/2 ((z_a + z_b) s / gap)^2, the sample size of a test of a mean at level 0.05 / pairs and power 0.8; pi/2 is
    the factor by which the median needs more samples than the mean. The gap is the measured one, or the indifference
    if that is larger. The spread s is that of the test which so many rounds will use: of the differences where it is
    paired, and of two independent sides where it is not.
    """
    z = float(special.ndtri(1 - LEVEL / pairs / 2) + special.ndtri(POWER))
    gap = max(abs(float(np.median(a - b))), math.log1p(indifferent))

    def count(variance: float) -> int:
        return math.ceil(math.pi / 2 * z**2 * variance / gap**2)

    if len(a) < 2:
        return fewest_rounds(pairs)
    unpaired = max(fewest_rounds(pairs), count(float(a.var(ddof=1) + b.var(ddof=1))))
    if not is_paired(unpaired, pairs):
        return unpaired
    return max(paired_from(pairs), count(float((a - b).var(ddof=1))))


@dataclass(frozen=True)
class _Pair:
    """The (n,) logarithms of two variants in the rounds that both have, without the effects of the rounds."""

    a: str
    b: str
    log_a: np.ndarray
    log_b: np.ndarray


def compare(variants: Mapping[str, Rounds], better: Better, indifferent: float) -> list[Comparison]:
    """Return every pair of the variants, the one with the better median as `a`, over the rounds that both have.

    `better` is "less" or "more"; ratios within 1 ± `indifferent` are equal for practical purposes. Separated: adjusted
    p < 0.05, the interval leaves out 1, and the ratio is beyond the indifference. Settled: separated, or the whole
    interval within the indifference.
    """
    pairs = [_read_pair(variants, a, b) for a, b in combinations(sort_by_median(variants, better), 2)]
    p_values = [p_value(pair.log_a, pair.log_b, len(pairs)) if len(pair.log_a) else 1.0 for pair in pairs]
    return [
        _compare_pair(pair, p, indifferent, len(pairs)) for pair, p in zip(pairs, holm(p_values)) if len(pair.log_a)
    ]


def _read_pair(variants: Mapping[str, Rounds], a: str, b: str) -> _Pair:
    shared = sorted(variants[a].keys() & variants[b].keys())
    logarithms = {
        name: np.log([rounds[number] for number in shared])
        for name, rounds in variants.items()
        if rounds.keys() >= set(shared)
    }
    log_a, log_b = logarithms.pop(a), logarithms.pop(b)
    effects = round_effects(np.array(list(logarithms.values())).reshape(len(logarithms), len(shared)))
    return _Pair(a, b, log_a - effects, log_b - effects)


def _compare_pair(pair: _Pair, p: float, indifferent: float, pairs: int) -> Comparison:
    """Return the comparison of one pair, given its adjusted p and the number of pairs of its family."""
    differences = pair.log_a - pair.log_b
    n, median = len(differences), float(np.median(differences))
    low, high = median_interval(differences) if n > 1 else (-math.inf, math.inf)
    band = math.log1p(indifferent)
    separated = p < LEVEL and not low <= 0 <= high and abs(median) > band
    equal = n >= fewest_rounds(pairs) and -band <= low and high <= band
    more = None if separated or equal else max(1, runs_needed(pair.log_a, pair.log_b, indifferent, pairs) - n)
    ends = (math.exp(low), math.exp(high)) if n > 1 else (None, None)
    return Comparison(pair.a, pair.b, math.exp(median), ends[0], ends[1], p, separated, more, n)


def sort_by_median(variants: Mapping[str, Rounds], better: Better) -> list[str]:
    """Return the names, best median first; equal medians by name, in whatever order they were given."""
    sign = 1 if better == "less" else -1
    return sorted(variants, key=lambda name: (sign * float(np.median(list(variants[name].values()))), name))


def tiers(variants: Mapping[str, Rounds], better: Better, comparisons: Sequence[Comparison]) -> dict[str, int]:
    """Return name -> tier, from 1, by median. A variant that is separated from the best of a tier begins the next."""
    separated = {(comparison.a, comparison.b) for comparison in comparisons if comparison.separated}
    tier_by_name: dict[str, int] = {}
    tier, best = 0, None
    for name in sort_by_median(variants, better):
        if best is None or (best, name) in separated:
            tier, best = tier + 1, name
        tier_by_name[name] = tier
    return tier_by_name
