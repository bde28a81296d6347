"""The comparison of variants, pair by pair, over rounds, and their tiers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from scipy import special

from crossframe.harness.analysis.statistics.intervals import LEVEL, mean, median, median_interval, moments
from crossframe.harness.analysis.statistics.permutation_tests import (
    fewest_rounds,
    holm,
    is_paired,
    p_values,
    paired_from,
)

POWER = 0.8  # the probability with which `runs_needed` is to detect a difference
TOGETHER = 64  # pairs that are tested at once, which limits the memory

Rounds = Mapping[int, float]  # round (the number of a repeat) -> one metric of its process, above 0
Better = Literal["less", "more"]


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


def round_effects(logarithms: np.ndarray) -> np.ndarray:
    """Return what each round did to the variants outside of a pair: (variants, n) logarithms -> (n,).

    It is the median over the variants, each relative to its own median, so that a disturbance of a single process does
    not enter. It is shrunk by the share of its variance that the noise of the variants explains (James and Stein 1961),
    so that on a machine without drift hardly anything is removed. 0 where there are no such variants.
    """
    variants, n = logarithms.shape
    if not variants or n < 2:
        return np.zeros(n)
    relative = logarithms - median(logarithms)[:, None]
    effects = median(relative.T)
    if variants == 1:
        return effects
    centred = relative - mean(relative)[:, None]
    means = mean(centred, axis=0)
    noise = float(((centred - means) ** 2).sum()) / ((variants - 1) * (n - 1)) / variants
    variance = moments(means)[1]
    return effects * max(0.0, 1 - noise / variance) if variance > 0 else np.zeros(n)


def runs_needed(a: np.ndarray, b: np.ndarray, indifferent: float, pairs: int) -> int:
    """Return about how many rounds settle a pair, from its (n,) and (n,) logarithms: separate it, or show it equal.

    n = pi/2 ((z_a + z_b) s / gap)^2, the sample size of a test of a mean at level 0.05 / pairs and power 0.8; pi/2 is
    the factor by which the median needs more samples than the mean. The gap is the measured one, or the indifference
    if that is larger. The spread s is that of the test which so many rounds will use: of the differences where it is
    paired, and of two independent sides where it is not.
    """
    z = float(special.ndtri(1 - LEVEL / pairs / 2) + special.ndtri(POWER))
    gap = max(abs(float(median(a - b))), math.log1p(indifferent))

    def count(variance: float) -> int:
        return math.ceil(math.pi / 2 * z**2 * variance / gap**2)

    if len(a) < 2:
        return fewest_rounds(pairs)
    unpaired = max(fewest_rounds(pairs), count(moments(a)[1] + moments(b)[1]))
    if not is_paired(unpaired, pairs):
        return unpaired
    return max(paired_from(pairs), count(moments(a - b)[1]))


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
    logarithms = {name: dict(zip(rounds, np.log([*rounds.values()]).tolist())) for name, rounds in variants.items()}
    pairs = [_read_pair(logarithms, a, b) for a, b in combinations(sort_by_median(variants, better), 2)]
    adjusted = holm(_test_pairs(pairs))
    return [_compare_pair(pair, p, indifferent, len(pairs)) for pair, p in zip(pairs, adjusted) if len(pair.log_a)]


def _read_pair(logarithms: Mapping[str, Rounds], a: str, b: str) -> _Pair:
    shared = sorted(logarithms[a].keys() & logarithms[b].keys())
    complete = [name for name, rounds in logarithms.items() if name not in (a, b) and rounds.keys() >= set(shared)]
    matrix = np.array([[logarithms[name][number] for number in shared] for name in (a, b, *complete)])
    effects = round_effects(matrix[2:])
    return _Pair(a, b, matrix[0] - effects, matrix[1] - effects)


def _test_pairs(pairs: Sequence[_Pair]) -> list[float]:
    """Return the p of each pair; pairs of as many rounds are tested together, which takes a third of the time."""
    p = np.ones(len(pairs))  # of pairs without a shared round
    lengths = np.array([len(pair.log_a) for pair in pairs])
    for n in set(lengths[lengths > 0].tolist()):
        members = np.flatnonzero(lengths == n)
        a, b = (
            np.column_stack([getattr(pairs[index], side) for index in members.tolist()]) for side in ("log_a", "log_b")
        )
        for start in range(0, len(members), TOGETHER):
            part = slice(start, start + TOGETHER)
            p[members[part]] = p_values(a[:, part], b[:, part], len(pairs))
    return p.tolist()


def _compare_pair(pair: _Pair, p: float, indifferent: float, pairs: int) -> Comparison:
    """Return the comparison of one pair, given its adjusted p and the number of pairs of its family."""
    differences = pair.log_a - pair.log_b
    n, middle = len(differences), float(median(differences))
    low, high = median_interval(differences) if n > 1 else (-math.inf, math.inf)
    band = math.log1p(indifferent)
    separated = p < LEVEL and not low <= 0 <= high and abs(middle) > band
    equal = n >= fewest_rounds(pairs) and -band <= low and high <= band
    more = None if separated or equal else max(1, runs_needed(pair.log_a, pair.log_b, indifferent, pairs) - n)
    ends = (math.exp(low), math.exp(high)) if n > 1 else (None, None)
    return Comparison(pair.a, pair.b, math.exp(middle), ends[0], ends[1], p, separated, more, n)


def sort_by_median(variants: Mapping[str, Rounds], better: Better) -> list[str]:
    """Return the names, best median first; equal medians by name, in whatever order they were given."""
    sign = 1 if better == "less" else -1
    return sorted(variants, key=lambda name: (sign * float(median(np.array(list(variants[name].values())))), name))


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
