"""Coverage of intervals, error rates of tests, and properties of tiers. Simulations are seeded and printed."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from crossframe.harness.analysis import statistics
from crossframe.harness.analysis.model import Metric
from crossframe.harness.analysis.statistics import Comparison, Rounds, compare, intervals, tiers
from tests.benchmarks import power

Noise = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]

# Logarithms of the noise of a process, as clocks on shared machines show it.
NOISE: dict[str, Noise] = {
    "normal": lambda g, shape: 0.03 * g.normal(size=shape),
    "skewed": lambda g, shape: 0.05 * g.exponential(size=shape),
    "bimodal": lambda g, shape: 0.003 * g.normal(size=shape) + 0.1 * (g.random(shape) < 0.4),
    "heavy tails": lambda g, shape: 0.01 * np.clip(g.standard_cauchy(size=shape), -100, 100),
}

positive_values = st.floats(1e-6, 1e6)
families = st.integers(1, 12).flatmap(
    lambda n: st.lists(st.lists(positive_values, min_size=n, max_size=n), min_size=2, max_size=5)
)


def name_variants(rows: list[list[float]]) -> dict[str, Rounds]:
    return {f"c{index}": dict(enumerate(values)) for index, values in enumerate(rows)}


def draw_rounds(
    generator: np.random.Generator, noise: Noise, costs: tuple[float, ...], n: int, drift: float
) -> list[list[float]]:
    """Return (variants, rounds): costs with noise of their own, and a drift that all variants of a round share."""
    logarithms = noise(generator, (len(costs), n)) + drift * generator.normal(size=n)
    rows: list[list[float]] = (np.array(costs)[:, None] * np.exp(logarithms)).tolist()
    return rows


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6, 7, 8, 10, 15, 30])
@pytest.mark.parametrize("kind", ["normal", "skewed", "heavy tails"])
def test_the_interval_covers_the_median(kind: str, n: int) -> None:
    generator, tries = np.random.default_rng(n), 1500
    true = {"normal": 0.0, "skewed": 0.05 * math.log(2), "heavy tails": 0.0}[kind]
    hits = 0
    for _ in range(tries):
        low, high = statistics.median_interval(NOISE[kind](generator, (n,)))
        hits += bool(low <= true <= high)
    print(f"{kind} n={n}: {hits / tries:.3f}")
    assert hits / tries > 0.92  # 0.929 (skewed, n = 5) to 0.986; the standard error of a count is 0.006


def test_few_values_of_a_bootstrap_would_not_cover() -> None:
    """Show why the interval is no percentile bootstrap, by the coverage of that one."""
    generator, covered = np.random.default_rng(0), {}
    for n in (2, 3, 5, 8, 15):
        values = generator.normal(size=(600, n))
        picks = generator.integers(0, n, (400, n))
        low, high = np.percentile(np.median(values[:, picks], axis=2), [2.5, 97.5], axis=1)
        covered[n] = float(np.mean((low <= 0) & (high >= 0)))
    print(covered)
    assert covered[2] < 0.6
    assert covered[3] < 0.85
    assert max(covered.values()) < 0.95


@given(st.lists(positive_values, min_size=1, max_size=30))
def test_the_interval_holds_its_median_and_scales(values: list[float]) -> None:
    metric, doubled = statistics.interval(values), statistics.interval([2 * value for value in values])
    assert metric.n == len(values)
    assert metric.value is not None
    if len(values) == 1:
        assert (metric.low, metric.high) == (None, None)
        return
    assert metric.low is not None
    assert metric.high is not None
    assert metric.low <= metric.value <= metric.high
    assert doubled.value is not None
    assert doubled.low is not None
    assert doubled.high is not None
    assert_allclose(
        [doubled.value, doubled.low, doubled.high], [2 * metric.value, 2 * metric.low, 2 * metric.high], rtol=1e-9
    )


@pytest.mark.parametrize("n", range(2, 20))
def test_medians_and_moments_are_exactly_those_of_numpy(n: int) -> None:
    rows = np.random.default_rng(n).normal(size=(3, n))
    assert intervals.median(rows).tolist() == np.median(rows, axis=1).tolist()
    assert intervals.mean(rows, axis=0).tolist() == np.mean(rows, axis=0).tolist()
    assert intervals.moments(rows[0]) == (rows[0].mean(), rows[0].var(ddof=1))


def test_intervals_that_are_computed_together_are_those_of_each_sample() -> None:
    samples = [[1.0, 2.0, 4.0], [5.0], [-1.0, 0.0, 3.0], [1e-9, 2e-9], [7.0, 8.0, 6.5], [float(n) for n in range(9)]]
    assert statistics.list_intervals(samples) == [statistics.interval(values) for values in samples]
    middles = [metric.value for metric in statistics.list_intervals(samples)]
    assert middles == [float(np.median(values)) for values in samples]
    assert statistics.list_intervals([]) == []


def test_an_interval_of_zeros_is_a_point() -> None:
    assert statistics.interval([0.0, 0.0, 0.0]) == Metric(value=0.0, low=0.0, high=0.0, n=3)


@pytest.mark.parametrize(("pairs", "fewest", "paired"), [(1, 4, 6), (3, 5, 7), (6, 5, 10), (10, 6, 11), (45, 7, 13)])
def test_fewest_rounds_is_where_a_test_can_reach_the_level(pairs: int, fewest: int, paired: int) -> None:
    assert (statistics.fewest_rounds(pairs), statistics.paired_from(pairs)) == (fewest, paired)
    apart = np.arange(paired, dtype=float)
    for n in (fewest - 1, fewest, paired):
        p = statistics.p_value(apart[:n], apart[:n] + 100, pairs)
        assert_allclose(p, statistics.smallest_p(n, pairs))
        assert (p * pairs <= statistics.LEVEL) == (n >= fewest)
    assert [n for n in range(2, paired + 1) if statistics.is_paired(n, pairs)] == [paired]


@pytest.mark.parametrize(("n", "pairs"), [(6, 1), (7, 3), (10, 6), (11, 10), (13, 45), (14, 45), (20, 45)])
def test_the_paired_test_finds_what_a_drift_would_hide(n: int, pairs: int) -> None:
    drift = 10 * np.random.default_rng(n).normal(size=n)
    p = statistics.p_value(drift, drift + 0.05, pairs)
    assert_allclose(p, max(2 / 2**n, 1 / statistics.EXACT), rtol=1)  # drawn permutations hit the given one by chance
    assert p * pairs <= statistics.LEVEL


def test_other_variants_show_the_drift_that_hides_a_difference_from_the_unpaired_test() -> None:
    drift = np.random.default_rng(0).normal(size=5)
    rows = [np.exp(drift + shift).tolist() for shift in (0.0, 0.05, 0.2, 0.3)]
    assert all(pair.separated for pair in compare(name_variants(rows), "less", 0.01))
    assert not any(pair.separated for pair in compare(name_variants(rows[:2]), "less", 0.01))


def test_the_effect_of_a_round_leaves_out_a_disturbance_of_one_process() -> None:
    logarithms = np.array([[1.0, 2.0, 3.0], [11.0, 12.0, 13.0], [21.0, 22.5, 23.0]])
    effects = statistics.round_effects(logarithms)
    assert_allclose(effects / effects[2], [-1, 0, 1])  # the median leaves out the 0.5
    assert 0.9 < effects[2] < 1  # shrunk by the noise
    assert_allclose(statistics.round_effects(logarithms[:1]), [-1, 0, 1])
    assert_allclose(statistics.round_effects(np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])), [0, 0, 0])
    assert_allclose(statistics.round_effects(np.empty((0, 3))), [0, 0, 0])


def test_variants_that_lack_a_shared_round_do_not_show_its_effect() -> None:
    whole = name_variants([[1.0, 1.2, 1.1, 1.3, 1.0], [2.0, 2.5, 2.2, 2.6, 2.1]])
    with_part = {**whole, "part": {0: 5.0}}
    (alone,) = compare(whole, "less", 0.01)
    pair = next(pair for pair in compare(with_part, "less", 0.01) if {pair.a, pair.b} == {"c0", "c1"})
    assert (pair.ratio, pair.low, pair.high, pair.rounds) == (alone.ratio, alone.low, alone.high, 5)


def test_tests_of_the_same_values_are_adjusted_together() -> None:
    a, b = np.random.default_rng(0).normal(size=(2, 5, 1))
    alone, *_ = statistics.joint_p(b + 9, a)
    assert_allclose(alone, 1 / math.comb(10, 5))
    same = statistics.joint_p(np.tile(b + 9, 3), np.tile(a, 3))
    assert_allclose(same, [alone] * 3)
    constant = statistics.joint_p(np.column_stack([b + 9, np.ones(5)]), np.column_stack([a, np.ones(5)]))
    assert_allclose(constant, [alone, 1])
    assert statistics.joint_p(b, a + 9)[0] > 0.9  # smaller is not larger


def test_independent_tests_are_adjusted_together() -> None:
    generator, tries = np.random.default_rng(0), 400
    wrong = sum(float(statistics.joint_p(*generator.normal(size=(2, 5, 20))).min()) <= 0.05 for _ in range(tries))
    print(f"{wrong / tries:.3f}")
    assert wrong / tries <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / tries)


def test_holm_against_values_computed_by_hand() -> None:
    assert_allclose(statistics.holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])


@settings(max_examples=50, deadline=None)
@given(st.lists(positive_values, min_size=1, max_size=12), st.integers(0, 3))
def test_identical_variants_always_tie(values: list[float], slower: int) -> None:
    variants = name_variants([values, values, *([2 * v for v in values] for _ in range(slower))])
    comparisons = compare(variants, "less", 0.01)
    tier_by_name = tiers(variants, "less", comparisons)
    assert tier_by_name["c0"] == tier_by_name["c1"] == 1
    pair = next(pair for pair in comparisons if {pair.a, pair.b} == {"c0", "c1"})
    assert (pair.ratio, pair.p, pair.separated) == (1, 1, False)


@settings(max_examples=50, deadline=None)
@given(families, st.floats(1e-3, 1e3))
def test_a_change_of_unit_changes_nothing(rows: list[list[float]], factor: float) -> None:
    converted = name_variants([[factor * value for value in values] for values in rows])
    for before, after in zip(compare(name_variants(rows), "less", 0.01), compare(converted, "less", 0.01)):
        if before.a == after.a:  # rounding may reorder equal medians
            assert_allclose([after.ratio, after.p], [before.ratio, before.p], rtol=1e-6)


@settings(max_examples=50, deadline=None)
@given(families, st.data())
def test_a_worse_variant_splits_no_tier(rows: list[list[float]], data: st.DataObject) -> None:
    """Add a variant that is separated from all others, and leave the other comparisons as they were."""
    before = name_variants(rows)
    worst = max(max(values) for values in rows)
    after = name_variants([*rows, [10 * worst + value for value in rows[0]]])
    comparisons = compare(before, "less", 0.01)
    flags = data.draw(st.lists(st.booleans(), min_size=len(comparisons), max_size=len(comparisons)))
    comparisons = [replace(pair, separated=flag) for pair, flag in zip(comparisons, flags)]
    added = [Comparison(name, f"c{len(rows)}", 0.1, 0.1, 0.1, 0.0, True, None, 1) for name in before]
    old, new = tiers(before, "less", comparisons), tiers(after, "less", comparisons + added)
    assert {name: new[name] for name in before} == old
    assert new[f"c{len(rows)}"] == max(old.values()) + 1


@pytest.mark.parametrize("n", [4, 6, 8, 12, *(pytest.param(n, marks=pytest.mark.campaign) for n in (5, 7, 9, 10, 11))])
@pytest.mark.parametrize("noise", power.NOISE)
def test_equal_variants_are_rarely_separated(noise: str, n: int) -> None:
    """Separate any pair in at most 5 % of families. `python -m tests.benchmarks.power` prints the whole table."""
    for setting in (power.Setting(2 if n == 4 else 4, noise, 0.0), power.Setting(3 if n > 4 else 2, noise, 0.03)):
        if setting in power.UNDECIDABLE:
            continue
        tries = 100
        share = power.share_called_different(setting, n, tries)
        print(f"{setting} n={n}: {share:.3f}")
        assert share <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / tries)  # two standard errors of the count


@pytest.mark.parametrize(
    ("variants", "n", "least"), [(2, 6, 0.7), (2, 8, 0.9), (4, 6, 0.35), (4, 8, 0.6), (4, 10, 0.9)]
)
def test_a_slowdown_of_5_percent_is_found_in_a_drift_of_3_percent(variants: int, n: int, least: float) -> None:
    before, now = power.share_detected(power.Setting(variants, "normal", 0.03), n, families=100)
    print(f"{variants} variants, n={n}: {before:.2f} before, {now:.2f} now")
    assert now >= least
    assert now >= before + 0.1


@pytest.mark.parametrize(
    "kind",
    ["normal", "heavy tails", *(pytest.param(kind, marks=pytest.mark.campaign) for kind in ("skewed", "bimodal"))],
)
def test_testing_after_every_round_needs_firmness(kind: str) -> None:
    generator, tries = np.random.default_rng(1), 100
    separated = firm = 0
    for _ in range(tries):
        values = draw_rounds(generator, NOISE[kind], (1.0, 1.0), 25, drift=0.02)
        tests = [compare(name_variants([side[:n] for side in values]), "less", 0.01)[0] for n in range(4, 26)]
        separated += any(test.separated for test in tests)
        firm += any(test.firm for test in tests)
    print(f"{kind}: separated at some round {separated / tries:.2f}, firm at some round {firm / tries:.2f}")
    assert firm / tries <= 0.05


def compare_two(a: list[float], b: list[float], indifferent: float = 0.01) -> Comparison:
    return compare(name_variants([a, b]), "less", indifferent)[0]


def test_one_round_is_not_enough_evidence() -> None:
    pair = compare_two([1.0], [5.0])
    assert (pair.low, pair.p, pair.separated, pair.more_runs) == (None, 1, False, 3)


def test_variants_shown_equal_need_no_more_runs() -> None:
    assert (
        compare_two([100.0, 100.1, 99.9, 100.0, 100.2, 99.8], [100.1, 100.0, 100.0, 99.9, 100.1, 99.9]).more_runs
        is None
    )
    assert not compare_two([100.0] * 8, [100.5] * 8).separated  # beyond the noise, but within the indifference
    assert compare_two([100.0] * 8, [102.0] * 8).separated


def test_the_estimated_rounds_are_about_enough() -> None:
    def pair(generator: np.random.Generator, n: int) -> Comparison:
        a, b = draw_rounds(generator, NOISE["normal"], (1.0, 1.04), n, drift=0)
        return compare_two(a, b)

    generator, tries = np.random.default_rng(3), 200
    estimated = 5 + round(float(np.median([pair(generator, 5).more_runs or 0 for _ in range(tries)])))
    separated = sum(pair(generator, estimated).separated for _ in range(tries))
    print(f"estimated {estimated} rounds; separated in {separated / tries:.2f}")
    assert separated / tries >= 0.5  # the target power is 0.8, but the gap is estimated from 5 rounds


def test_rounds_of_only_one_side_are_left_out() -> None:
    (pair,) = compare({"a": {1: 1.0, 2: 1.0, 7: 9.0}, "b": {1: 2.0, 2: 2.0, 3: 2.0}}, "less", 0.01)
    assert (pair.rounds, pair.ratio) == (2, 0.5)
    assert compare({"a": {1: 1.0}, "b": {2: 1.0}}, "less", 0.01) == []


def test_more_can_be_better() -> None:
    variants = name_variants([[10.0, 10.1, 10.2, 10.0, 10.1], [20.0, 20.1, 20.2, 20.0, 20.1]])
    assert tiers(variants, "more", compare(variants, "more", 0.01)) == {"c1": 1, "c0": 2}
