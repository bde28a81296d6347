"""Permutation tests on rounds or on repeats, and their adjustment for families of tests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from itertools import combinations, product

import numpy as np

from crossframe.harness.analysis.statistics.intervals import LEVEL

# Four or more variants (six pairs) show the effect of a round so well that the unpaired test detects more than the
# paired one until the latter could reach a p four times as small: `python -m tests.benchmarks.power`.
MANY_PAIRS, RESERVE = 6, 4
EXACT = 10_000  # up to this many permutations all are tried; of more, 9,999 are drawn


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


@cache
def paired_from(pairs: int) -> int:
    """Return the number of rounds from which a family of so many pairs is compared by the paired test."""
    return next(n for n in range(2, 64) if is_paired(n, pairs))


def smallest_p(n: int, pairs: int) -> float:
    """Return the smallest p that n rounds can reach in such a family, however far apart the two sides are."""
    return 2 / (2**n if is_paired(n, pairs) else math.comb(2 * n, n))


@cache
def fewest_rounds(pairs: int) -> int:
    """Return the fewest rounds after which one of this many pairs can be separated. Fewer are not enough evidence."""
    return next(n for n in range(2, 64) if smallest_p(n, pairs) <= LEVEL / pairs)


def p_value(a: np.ndarray, b: np.ndarray, pairs: int) -> float:
    """Return the two-sided p of the test of one pair, from its (n,) and (n,) logarithms by round: see `p_values`."""
    return float(p_values(a[:, None], b[:, None], pairs)[0])


def p_values(a: np.ndarray, b: np.ndarray, pairs: int) -> np.ndarray:
    """Return the two-sided p of permutation tests on differences of means of (n, tests) logarithms by round: (tests,).

    Paired (Fisher 1935): signs are flipped within rounds; exact, whatever a round does to both sides. Unpaired (Pitman
    1937): all values are shuffled between the sides. That is exact where rounds have no effect. An effect that both
    sides share widens the distribution under shuffling and leaves the measured difference as it is: the test errs less
    often, and detects less. `round_effects` removes what the other variants show of it. These share no noise with the
    pair, so the two sides stay exchangeable within each round, and what their own noise adds is one more shared effect.
    """
    return _permute(a - b, draw_flips(len(a))) if is_paired(len(a), pairs) else _shuffle(a, b)


def p_unpaired(a: np.ndarray, b: np.ndarray) -> float:
    """Return the two-sided p of a permutation test on the difference of means of (n,) and (m,) logarithms."""
    return float(_shuffle(a[:, None], b[:, None])[0])


def _shuffle(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    values = np.concatenate([a, b])
    return _permute(values - values.mean(axis=0), draw_splits(len(a), len(b)))  # centred: rounding of sums stays small


def _permute(values: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """Return the share of the (permutations, n) signs whose sums of (n, tests) values are as large as the first."""
    sums = np.abs(signs @ values)
    shares: np.ndarray = np.mean(sums >= sums[0] - 1e-12, axis=0)  # the given order is the first row
    return shares


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
