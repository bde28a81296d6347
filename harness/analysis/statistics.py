"""Intervals, ratios, tests and tiers. The unit is a process: samples within one process share its luck.

All but the cut of warm-up is computed on logarithms, since costs differ by factors: a candidate is twice as fast, not
3 ms faster.
Nothing here knows a record; `crossframe.harness.analysis.ranking` brings the figures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import combinations, product

import numpy as np
from scipy import special

LEVEL = 0.05  # of a family of tests, and 1 minus the coverage of an interval
POWER = 0.8  # with which `runs_needed` wants to see a difference
PAIRED_FROM = 11  # rounds: 2 / 2^11 is the first of them that separates one of the 45 pairs of ten candidates
EXACT = 10_000  # up to so many permutations all are tried, beyond it 9,999 are drawn

Rounds = Mapping[int, float]  # the round (the number of a repeat) -> one figure of the process that ran in it, above 0


def steady(samples: Sequence[float]) -> np.ndarray:
    """The samples after warm-up, by the rule MSER of White 1997: cut off the d first ones, at most half of them, for
    which the standard error of the mean of the others, sqrt(sum of squares) / (n - d), is least.
    """
    return after_warm_up(tuple(samples))


@lru_cache(2**16)  # several figures follow from the same samples, and cells, ranks and decisions ask for them anew
def after_warm_up(samples: tuple[float, ...]) -> np.ndarray:
    taken = np.asarray(samples, float)
    centred = (taken - taken.mean())[::-1]  # sums over the last samples; centred, so that no digits cancel
    count = np.arange(1, len(taken) + 1)
    squares = np.maximum(np.cumsum(centred**2) - np.cumsum(centred) ** 2 / count, 0)
    errors = (np.sqrt(squares) / count)[::-1]
    return taken[int(np.argmin(errors[: len(taken) // 2 + 1])) :]


def centre(values: np.ndarray) -> tuple[float, float]:
    """(n,), n > 1 -> the 95 % interval of the median.

    From 6 values on by the sign test, interpolated between order statistics (Hettmansperger and Sheather 1986), which
    holds for every distribution. Fewer can't give 95 % that way; theirs is Student's, which supposes a normal one. The
    bootstrap's percentiles would cover 50 % at n = 2 and 90 to 93 % from 6 to 15: `tests/test_statistics.py` counts.
    """
    n, ordered = len(values), np.sort(values)
    if n < 6:
        half = special.stdtrit(n - 1, 1 - LEVEL / 2) * values.std(ddof=1) / math.sqrt(n)
        return float(values.mean() - half), float(values.mean() + half)
    # outside(d): that the median lies outside of the d-th smallest and the d-th largest value
    outside = 2 * np.cumsum([math.comb(n, j) for j in range(n // 2)]) / 2**n
    d = int(np.sum(outside < LEVEL))
    share = (LEVEL - outside[d - 1]) / (outside[d] - outside[d - 1])
    weight = (n - d) * share / (d + (n - 2 * d) * share)
    low = (1 - weight) * ordered[d - 1] + weight * ordered[d]
    return float(low), float((1 - weight) * ordered[n - d] + weight * ordered[n - d - 1])


def interval(values: Sequence[float]) -> dict[str, float | int | None]:
    """{value, low, high, n}: the median over processes and its 95 % interval, which one process can't give."""
    found = np.asarray(values, float)
    if len(found) < 2:
        return {"value": values[0], "low": None, "high": None, "n": len(found)}
    if found.min() > 0:
        low, high = (math.exp(end) for end in centre(np.log(found)))
    else:
        low, high = centre(found)
    value = float(np.median(found))
    # exp(log(x)) may be off by one unit in the last place, which must not push the median out.
    return {"value": value, "low": min(low, value), "high": max(high, value), "n": len(found)}


@dataclass(frozen=True)
class Comparison:
    """a against b: the median over shared rounds of a's figure over b's, its 95 % interval, and what follows."""

    a: str
    b: str
    ratio: float
    low: float | None  # None for one round
    high: float | None
    p: float  # adjusted for the family, by Holm
    separated: bool
    more_runs: int | None  # about so many more rounds would settle it; None where it is settled
    rounds: int

    @property
    def firm(self) -> bool:
        """Whether an interval twice as wide would still leave out 1: whoever looks after each round must ask for this.

        A test at 5 % that is looked at again and again calls more than 5 % of equal pairs different (Armitage 1969):
        here 12 % within 30 rounds; this one 1 %.
        """
        if not self.separated or self.low is None or self.high is None:
            return False
        gap = abs(math.log(self.ratio))
        return gap > 2 * max(math.log(self.high / self.ratio), math.log(self.ratio / self.low))


@cache
def flips(n: int) -> np.ndarray:
    """(permutations, n): the signs of n paired differences, in all ways or in 9,999 drawn ones after the given."""
    if 2**n <= EXACT:
        return np.array(list(product((1.0, -1.0), repeat=n)))
    drawn = np.random.default_rng(0).choice((1.0, -1.0), (EXACT - 1, n))
    return np.concatenate([np.ones((1, n)), drawn])


@cache
def splits(n: int, m: int) -> np.ndarray:
    """(permutations, n + m): 1 for the n of all values that are a's, -1 for b's, in all ways or in drawn ones."""
    given = np.repeat((1.0, -1.0), (n, m))
    if math.comb(n + m, n) > EXACT:
        drawn = np.random.default_rng(0).permuted(np.tile(given, (EXACT - 1, 1)), axis=1)
        return np.concatenate([given[None], drawn])
    found = np.full((math.comb(n + m, n), n + m), -1.0)
    for row, own in enumerate(combinations(range(n + m), n)):
        found[row, list(own)] = 1.0
    return found


def smallest_p(n: int) -> float:
    """The smallest p that n rounds can reach, however far apart the two sides are."""
    return 2 / (2**n if n >= PAIRED_FROM else math.comb(2 * n, n))


def fewest_rounds(pairs: int) -> int:
    """The fewest rounds after which any of so many pairs could be separated. Fewer are not enough evidence."""
    return next(n for n in range(2, 64) if smallest_p(n) <= LEVEL / pairs)


def p_value(a: np.ndarray, b: np.ndarray) -> float:
    """(n,), (n,), logarithms by round -> p of a permutation test on the difference of means, both sides.

    From `PAIRED_FROM` rounds on signs are flipped within rounds, so that a drift of the machine cancels. Fewer rounds
    could not reach a small p that way; theirs are shuffled between the sides, which a drift makes cautious, not wrong.
    """
    return permuted(a - b, flips(len(a))) if len(a) >= PAIRED_FROM else p_unpaired(a, b)


def p_unpaired(a: np.ndarray, b: np.ndarray) -> float:
    """(n,), (m,), logarithms -> p of a permutation test on the difference of means, both sides."""
    values = np.concatenate([a, b])
    return permuted(values - values.mean(), splits(len(a), len(b)))  # centred, which keeps the rounding of sums small


def permuted(values: np.ndarray, signs: np.ndarray) -> float:
    sums = np.abs(signs @ values)
    return float(np.mean(sums >= sums[0] - 1e-12))  # the given order is the first row


def difference(a: np.ndarray, b: np.ndarray) -> tuple[float, float, float]:
    """(n,), (m,), logarithms, n and m > 1 -> the difference of means and its 95 % interval by Welch 1947."""
    gap = float(a.mean() - b.mean())
    parts = np.array([a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)])
    if not parts.any():
        return gap, gap, gap
    freedom = parts.sum() ** 2 / (parts**2 / (len(a) - 1, len(b) - 1)).sum()
    half = float(special.stdtrit(freedom, 1 - LEVEL / 2) * math.sqrt(parts.sum()))
    return gap, gap - half, gap + half


def holm(found: Sequence[float]) -> list[float]:
    """p values adjusted so that all of them together err with 5 %: Holm 1979."""
    adjusted, largest = [0.0] * len(found), 0.0
    for rank, place in enumerate(np.argsort(found, kind="stable")):
        largest = max(largest, min(1.0, (len(found) - rank) * found[place]))
        adjusted[place] = largest
    return adjusted


def runs_needed(differences: np.ndarray, indifferent: float, pairs: int) -> int:
    """(n,) logarithms of ratios -> about how many rounds settle the pair: separate it, or show it equal.

    n = pi/2 ((z_a + z_b) s / gap)^2, the sample size of a test of a mean at level 0.05 / pairs and power 0.8; pi/2 is
    what the median costs against the mean. The gap is the one seen, or the indifference where that is larger.
    """
    z = special.ndtri(1 - LEVEL / pairs / 2) + special.ndtri(POWER)
    gap = max(abs(float(np.median(differences))), math.log1p(indifferent))
    spread = float(differences.std(ddof=1)) if len(differences) > 1 else 0.0
    return max(fewest_rounds(pairs), math.ceil(math.pi / 2 * (z * spread / gap) ** 2))


def compare(candidates: Mapping[str, Rounds], better: str, indifferent: float) -> list[Comparison]:
    """Every pair of the candidates, the better one by its median as `a`, over the rounds that both have.

    `better` is "less" or "more"; ratios within 1 ± `indifferent` are equal for practical ends. Separated: adjusted
    p < 0.05, the interval leaves out 1, and the ratio is beyond the indifference. Settled: separated, or the whole
    interval within the indifference.
    """
    names = ranked(candidates, better)
    pairs = list(combinations(names, 2))
    logs = []
    for a, b in pairs:
        shared = sorted(candidates[a].keys() & candidates[b].keys())
        logs.append([np.log([candidates[name][place] for place in shared]) for name in (a, b)])
    adjusted = holm([p_value(own, other) if len(own) else 1.0 for own, other in logs])
    return [
        comparison(*pair, own - other, p, indifferent, len(pairs))
        for pair, (own, other), p in zip(pairs, logs, adjusted)
        if len(own)
    ]


def comparison(a: str, b: str, differences: np.ndarray, p: float, indifferent: float, pairs: int) -> Comparison:
    """One pair from its (rounds,) logarithms of ratios and its adjusted p."""
    n = len(differences)
    low, high = centre(differences) if n > 1 else (-math.inf, math.inf)
    band = math.log1p(indifferent)
    separated = p < LEVEL and not low <= 0 <= high and abs(float(np.median(differences))) > band
    equal = n >= fewest_rounds(pairs) and -band <= low and high <= band
    more = None if separated or equal else max(1, runs_needed(differences, indifferent, pairs) - n)
    ends = (math.exp(low), math.exp(high)) if n > 1 else (None, None)
    return Comparison(a, b, math.exp(np.median(differences)), ends[0], ends[1], p, separated, more, n)


def ranked(candidates: Mapping[str, Rounds], better: str) -> list[str]:
    """The names, best median first; equal medians by name, whatever order they came in."""
    sign = 1 if better == "less" else -1
    return sorted(candidates, key=lambda name: (sign * float(np.median(list(candidates[name].values()))), name))


def tiers(candidates: Mapping[str, Rounds], better: str, comparisons: Sequence[Comparison]) -> dict[str, int]:
    """Name -> tier, from 1. By median; a new tier begins with whoever is separated from the best of the last tier."""
    separated = {(one.a, one.b) for one in comparisons if one.separated}
    found: dict[str, int] = {}
    tier, best = 0, None
    for name in ranked(candidates, better):
        if best is None or (best, name) in separated:
            tier, best = tier + 1, name
        found[name] = tier
    return found
