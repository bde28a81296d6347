"""Intervals that cover, tests that rarely err, tiers that hold. Simulations are seeded; each prints what it counted."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from crossframe.harness.analysis import statistics
from crossframe.harness.analysis.statistics import Comparison, Rounds, compare, tiers

Noise = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]

# Logarithms of the noise of a process: what clocks on shared machines show.
NOISE: dict[str, Noise] = {
    "normal": lambda g, shape: 0.03 * g.normal(size=shape),
    "skewed": lambda g, shape: 0.05 * g.exponential(size=shape),
    "bimodal": lambda g, shape: 0.003 * g.normal(size=shape) + 0.1 * (g.random(shape) < 0.4),
    "heavy tails": lambda g, shape: 0.01 * np.clip(g.standard_cauchy(size=shape), -100, 100),
}

figures_above_zero = st.floats(1e-6, 1e6)
families = st.integers(1, 12).flatmap(
    lambda n: st.lists(st.lists(figures_above_zero, min_size=n, max_size=n), min_size=2, max_size=5)
)


def named(found: list[list[float]]) -> dict[str, Rounds]:
    return {f"c{place}": dict(enumerate(values)) for place, values in enumerate(found)}


def drawn(generator: np.random.Generator, noise: Noise, costs: tuple[float, ...], n: int, drift: float) -> list:
    """(candidates, rounds): costs with noise of their own, and a drift that all of a round share."""
    logs = noise(generator, (len(costs), n)) + drift * generator.normal(size=n)
    return (np.array(costs)[:, None] * np.exp(logs)).tolist()


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6, 7, 8, 10, 15, 30])
@pytest.mark.parametrize("kind", ["normal", "skewed", "heavy tails"])
def test_the_interval_covers_the_median(kind: str, n: int) -> None:
    generator, tries = np.random.default_rng(n), 1500
    true = {"normal": 0.0, "skewed": 0.05 * math.log(2), "heavy tails": 0.0}[kind]
    hits = 0
    for _ in range(tries):
        low, high = statistics.centre(NOISE[kind](generator, (n,)))
        hits += low <= true <= high
    print(f"{kind} n={n}: {hits / tries:.3f}")
    assert hits / tries > 0.92  # 0.929 (skewed, n = 5) to 0.986; the standard error of a count is 0.006


def test_few_values_of_a_bootstrap_would_not_cover() -> None:
    """Why the interval is no percentile bootstrap, which the issue names: this is what that one counts."""
    generator, covered = np.random.default_rng(0), {}
    for n in (2, 3, 5, 8, 15):
        values = generator.normal(size=(600, n))
        picks = generator.integers(0, n, (400, n))
        low, high = np.percentile(np.median(values[:, picks], axis=2), [2.5, 97.5], axis=1)
        covered[n] = float(np.mean((low <= 0) & (high >= 0)))
    print(covered)
    assert covered[2] < 0.6 and covered[3] < 0.85 and max(covered.values()) < 0.95


@given(st.lists(figures_above_zero, min_size=1, max_size=30))
def test_the_interval_holds_its_median_and_scales(values: list[float]) -> None:
    found, doubled = statistics.interval(values), statistics.interval([2 * value for value in values])
    assert found["n"] == len(values)
    if len(values) == 1:
        assert found["low"] is None and found["high"] is None
        return
    assert found["low"] <= found["value"] <= found["high"]  # type: ignore[operator]
    for name in ("value", "low", "high"):
        assert_allclose(doubled[name], 2 * found[name], rtol=1e-9)  # type: ignore[operator]


def test_an_interval_of_zeros_is_a_point() -> None:
    assert statistics.interval([0.0, 0.0, 0.0]) == {"value": 0.0, "low": 0.0, "high": 0.0, "n": 3}


@pytest.mark.parametrize("pairs, fewest", [(1, 4), (3, 5), (6, 5), (10, 6), (45, 7)])
def test_fewest_rounds_is_where_a_test_can_reach_the_level(pairs: int, fewest: int) -> None:
    assert statistics.fewest_rounds(pairs) == fewest
    apart = np.arange(fewest, dtype=float)
    for n in (fewest - 1, fewest):
        p = statistics.p_value(apart[:n], apart[:n] + 100)
        assert_allclose(p, statistics.smallest_p(n))
        assert (p * pairs <= statistics.LEVEL) == (n == fewest)


@pytest.mark.parametrize("n", [11, 13, 14, 20])
def test_the_paired_test_finds_what_a_drift_would_hide(n: int) -> None:
    drift = 10 * np.random.default_rng(n).normal(size=n)
    p = statistics.p_value(drift, drift + 0.05)
    assert_allclose(p, max(2 / 2**n, 1 / statistics.EXACT), rtol=1)  # drawn permutations hit the given one by chance


def test_holm_against_figures_worked_by_hand() -> None:
    assert_allclose(statistics.holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])


@given(st.lists(figures_above_zero, min_size=1, max_size=12), st.integers(0, 3))
def test_identical_candidates_always_tie(values: list[float], others: int) -> None:
    candidates = named([values, values, *([2 * v for v in values] for _ in range(others))])
    comparisons = compare(candidates, "less", 0.01)
    found = tiers(candidates, "less", comparisons)
    assert found["c0"] == found["c1"] == 1
    own = next(one for one in comparisons if {one.a, one.b} == {"c0", "c1"})
    assert own.ratio == 1 and own.p == 1 and not own.separated


@settings(max_examples=50)
@given(families, st.floats(1e-3, 1e3))
def test_a_change_of_unit_changes_nothing(found: list[list[float]], factor: float) -> None:
    scaled = named([[factor * value for value in values] for values in found])
    for plain, other in zip(compare(named(found), "less", 0.01), compare(scaled, "less", 0.01)):
        if plain.a == other.a:  # equal medians may part by rounding
            assert_allclose([other.ratio, other.p], [plain.ratio, plain.p], rtol=1e-6)


@settings(max_examples=50)
@given(families)
def test_a_worse_candidate_splits_no_tier(found: list[list[float]]) -> None:
    before = named(found)
    worst = max(max(values) for values in found)
    after = named([*found, [10 * worst + value for value in found[0]]])
    old = tiers(before, "less", compare(before, "less", 0.01))
    new = tiers(after, "less", compare(after, "less", 0.01))
    names = list(before)
    assert all(new[a] == new[b] for a in names for b in names if old[a] == old[b] == 1)
    assert all((new[a] <= new[b]) for a in names for b in names if old[a] < old[b])
    assert new[f"c{len(found)}"] == max(new.values())


@pytest.mark.parametrize("n", [5, 8, 12])
@pytest.mark.parametrize("kind", NOISE)
def test_equal_candidates_are_rarely_called_different(kind: str, n: int) -> None:
    """Families of four, on a machine whose drift is larger than their noise: at most 5 % with any pair separated."""
    generator, tries = np.random.default_rng(n), 400
    wrong = 0
    for _ in range(tries):
        candidates = named(drawn(generator, NOISE[kind], (1.0,) * 4, n, drift=0.05))
        wrong += any(one.separated for one in compare(candidates, "less", 0.01))
    print(f"{kind} n={n}: {wrong / tries:.3f}")
    assert wrong / tries <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / tries)  # two standard errors of the count


@pytest.mark.parametrize("drift", [0.0, 0.03])
def test_a_slowdown_of_5_percent_is_found_in_ten_rounds_of_1_percent_noise(drift: float) -> None:
    generator, tries = np.random.default_rng(0), 200
    found = 0
    for _ in range(tries):
        values = drawn(generator, lambda g, shape: 0.01 * g.normal(size=shape), (1.0, 1.05), 10, drift)
        found += tiers(named(values), "less", compare(named(values), "less", 0.01)) == {"c0": 1, "c1": 2}
    print(f"drift {drift}: {found / tries:.3f}")
    assert found / tries >= 0.9  # 1.0 without drift, 0.99 with one of three times the noise


@pytest.mark.parametrize("kind", NOISE)
def test_looking_after_every_round_needs_firmness(kind: str) -> None:
    generator, tries = np.random.default_rng(1), 100
    separated = firm = 0
    for _ in range(tries):
        values = drawn(generator, NOISE[kind], (1.0, 1.0), 25, drift=0.02)
        looks = [compare(named([side[:n] for side in values]), "less", 0.01)[0] for n in range(4, 26)]
        separated += any(look.separated for look in looks)
        firm += any(look.firm for look in looks)
    print(f"{kind}: separated at some look {separated / tries:.2f}, firm at some look {firm / tries:.2f}")
    assert firm / tries <= 0.05


def only(a: list[float], b: list[float], indifferent: float = 0.01) -> Comparison:
    return compare(named([a, b]), "less", indifferent)[0]


def test_one_round_is_not_enough_evidence() -> None:
    found = only([1.0], [5.0])
    assert found.low is None and found.p == 1 and not found.separated
    assert found.more_runs == 3


def test_what_is_shown_equal_needs_no_more_runs() -> None:
    assert only([100.0, 100.1, 99.9, 100.0, 100.2, 99.8], [100.1, 100.0, 100.0, 99.9, 100.1, 99.9]).more_runs is None
    assert not only([100.0] * 8, [100.5] * 8).separated  # beyond the noise, but nobody would pay for it
    assert only([100.0] * 8, [102.0] * 8).separated


def test_the_runs_that_are_foretold_are_about_enough() -> None:
    def pair(generator: np.random.Generator, n: int) -> Comparison:
        return only(*drawn(generator, NOISE["normal"], (1.0, 1.04), n, drift=0))

    generator, tries = np.random.default_rng(3), 200
    foretold = 5 + round(float(np.median([pair(generator, 5).more_runs or 0 for _ in range(tries)])))
    found = sum(pair(generator, foretold).separated for _ in range(tries))
    print(f"foretold {foretold} rounds; separated in {found / tries:.2f}")
    assert found / tries >= 0.5  # the power that is aimed at is 0.8; a gap guessed from 5 rounds is a guess


def test_rounds_that_only_one_side_has_are_left_out() -> None:
    found = compare({"a": {1: 1.0, 2: 1.0, 7: 9.0}, "b": {1: 2.0, 2: 2.0, 3: 2.0}}, "less", 0.01)
    assert found[0].rounds == 2 and found[0].ratio == 0.5
    assert compare({"a": {1: 1.0}, "b": {2: 1.0}}, "less", 0.01) == []


def test_more_can_be_better() -> None:
    candidates = named([[10.0, 10.1, 10.2, 10.0, 10.1], [20.0, 20.1, 20.2, 20.0, 20.1]])
    assert tiers(candidates, "more", compare(candidates, "more", 0.01)) == {"c1": 1, "c0": 2}
