"""The comparison of variants, pair by pair, over rounds, and their tiers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
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
    """Return what each round did to the variants outside of a pair: (..., variants, n) logarithms -> (..., n).

    It is the median over the variants, each relative to its own median, so that a disturbance of a single process does
    not enter. It is shrunk by the share of its variance that the noise of the variants explains (James and Stein 1961),
    so that on a machine without drift hardly anything is removed. 0 where there are no such variants.
    """
    *outer, variants, n = logarithms.shape
    if not variants or n < 2:
        return np.zeros((*outer, n))
    relative = logarithms - median(logarithms)[..., None]
    effects = median(relative.swapaxes(-1, -2))
    if variants == 1:
        return effects
    centred = relative - mean(relative)[..., None]
    means = mean(centred, axis=-2)
    noise = ((centred - means[..., None, :]) ** 2).sum(axis=(-1, -2)) / ((variants - 1) * (n - 1)) / variants
    variance = moments(means)[1]
    share = np.divide(noise, variance, out=np.ones_like(variance), where=variance > 0)
    shrunk: np.ndarray = effects * np.maximum(0, 1 - share)[..., None]
    return shrunk


def runs_needed(a: np.ndarray, b: np.ndarray, indifferent: float, pairs: int) -> list[int]:
    """Return about how many rounds settle each pair of (tests, n) logarithms: separate it, or show it equal.

    n = pi/2 ((z_a + z_b) s / gap)^2, the sample size of a test of a mean at level 0.05 / pairs and power 0.8; pi/2 is
    the factor by which the median needs more samples than the mean. The gap is the measured one, or the indifference
    if that is larger. The spread s is that of the test which so many rounds will use: of the differences where it is
    paired, and of two independent sides where it is not.
    """
    tests, n = a.shape
    if n < 2:
        return [fewest_rounds(pairs)] * tests
    z = float(special.ndtri(1 - LEVEL / pairs / 2) + special.ndtri(POWER))
    gaps = np.maximum(np.abs(median(a - b)), math.log1p(indifferent))

    def count(variances: np.ndarray) -> np.ndarray:
        counts: np.ndarray = np.ceil(math.pi / 2 * z**2 * variances / gaps**2).astype(int)
        return counts

    unpaired = np.maximum(fewest_rounds(pairs), count(moments(a)[1] + moments(b)[1]))
    paired = np.maximum(paired_from(pairs), count(moments(a - b)[1]))
    return [
        with_pairs if is_paired(without, pairs) else without
        for without, with_pairs in zip(unpaired.tolist(), paired.tolist())
    ]


@dataclass(frozen=True)
class _Sides:
    """The (tests, n) logarithms of pairs that have the same rounds in common, without the effects of the rounds."""

    pairs: list[tuple[str, str]]
    log_a: np.ndarray
    log_b: np.ndarray


def compare(variants: Mapping[str, Rounds], better: Better, indifferent: float) -> list[Comparison]:
    """Return every pair of the variants, the one with the better median as `a`, over the rounds that both have.

    `better` is "less" or "more"; ratios within 1 ± `indifferent` are equal for practical purposes. Separated: adjusted
    p < 0.05, the interval leaves out 1, and the ratio is beyond the indifference. Settled: separated, or the whole
    interval within the indifference.
    """
    pairs = list(combinations(sort_by_median(variants, better), 2))
    groups = list(_read_sides(variants, pairs))
    p = dict.fromkeys(pairs, 1.0)  # of pairs without a shared round
    for sides in groups:
        p |= zip(sides.pairs, p_values(sides.log_a.T, sides.log_b.T, len(pairs)).tolist())
    adjusted = dict(zip(pairs, holm([*p.values()])))
    comparisons = {
        (comparison.a, comparison.b): comparison
        for sides in groups
        for comparison in _compare_sides(sides, adjusted, indifferent)
    }
    return [comparisons[pair] for pair in pairs if pair in comparisons]


def _read_sides(variants: Mapping[str, Rounds], pairs: Sequence[tuple[str, str]]) -> Iterator[_Sides]:
    """Yield the pairs that share rounds, together where these are the same: one by one they take four times as long."""
    groups: dict[tuple[int, ...], list[tuple[str, str]]] = {}
    for a, b in pairs:
        groups.setdefault(tuple(sorted(variants[a].keys() & variants[b].keys())), []).append((a, b))
    for shared, members in groups.items():
        complete = [name for name, rounds in variants.items() if rounds.keys() >= set(shared)]
        matrix = np.log([[variants[name][number] for number in shared] for name in complete])
        for start in range(0, len(members) if shared else 0, TOGETHER):
            part = members[start : start + TOGETHER]
            first, second = ([complete.index(name) for name in side] for side in zip(*part))
            others = [[complete.index(name) for name in complete if name not in pair] for pair in part]
            effects = round_effects(matrix[np.array(others, int)])
            yield _Sides(part, matrix[first] - effects, matrix[second] - effects)


def _compare_sides(
    sides: _Sides, adjusted: Mapping[tuple[str, str], float], indifferent: float
) -> Iterator[Comparison]:
    """Yield the comparison of each pair, given the adjusted p of all pairs of the family."""
    differences = sides.log_a - sides.log_b
    n, pairs, band = differences.shape[1], len(adjusted), math.log1p(indifferent)
    middles = median(differences)
    lows, highs = median_interval(differences) if n > 1 else (middles - math.inf, middles + math.inf)
    needed = runs_needed(sides.log_a, sides.log_b, indifferent, pairs)
    for (a, b), middle, low, high, rounds in zip(sides.pairs, middles.tolist(), lows.tolist(), highs.tolist(), needed):
        p = adjusted[a, b]
        separated = p < LEVEL and not low <= 0 <= high and abs(middle) > band
        equal = n >= fewest_rounds(pairs) and -band <= low and high <= band
        more = None if separated or equal else max(1, rounds - n)
        ends = (math.exp(low), math.exp(high)) if n > 1 else (None, None)
        yield Comparison(a, b, math.exp(middle), ends[0], ends[1], p, separated, more, n)


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
