"""From records to tiers and comparisons, and the use of a time budget."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from crossframe.harness.analysis import metrics, ranking
from crossframe.harness.analysis.model import CellReport, RankedComparison
from crossframe.harness.records.model import ParitySummary, Record
from crossframe.harness.worker.states import State
from tests.support.synthetic import make_repeats

FAILED_PARITY = ParitySummary(State.FAILED, "gates", None)


def draw_steps(cost: float, n: int, noise: float = 0.001, seed: int = 0) -> list[float]:
    steps: list[float] = (cost * np.exp(noise * np.random.default_rng(seed).normal(size=n))).tolist()
    return steps


def rank(records: list[Record]) -> tuple[dict[str, CellReport], list[RankedComparison]]:
    """Return variant -> report with tiers, and the comparisons."""
    reports, comparisons = ranking.rank(metrics.build_cell_reports(records, {}), records)
    return {report.cell.variant: report for report in reports}, comparisons


def read_tier(report: CellReport, metric: str = "train_samples_per_s") -> int | str | None:
    value = report.metrics[metric]
    assert (value.tier is None) == (value.tier_reason is not None)
    return value.tier if value.tier is not None else value.tier_reason


def test_equal_variants_share_a_tier_and_slower_ones_have_the_next() -> None:
    fast = make_repeats("a", draw_steps(1, 6, seed=1)) + make_repeats("b", draw_steps(1, 6, seed=2))
    reports, comparisons = rank(fast + make_repeats("c", draw_steps(2, 6, seed=3)))
    for metric in ("train_samples_per_s", "step_s", "infer_latency_s", "time_to_target_s"):
        assert [read_tier(report, metric) for report in reports.values()] == [1, 1, 2], metric
    for metric in ("onnx_bytes", "host_peak_bytes", "accuracy"):
        assert [read_tier(report, metric) for report in reports.values()] == [1, 1, 1], metric
    slow = next(c for c in comparisons if c.metric == "step_s" and (c.a, c.b) == ("a eager", "c eager"))
    assert slow.separated
    assert slow.more_runs is None
    assert slow.low is not None
    assert slow.high is not None
    assert slow.low < 0.5 < slow.high


def test_ranking_changes_no_report() -> None:
    records = make_repeats("a", draw_steps(1, 6)) + make_repeats("b", draw_steps(2, 6))
    reports = metrics.build_cell_reports(records, {})
    before = metrics.build_cell_reports(records, {})
    ranked, _ = ranking.rank(reports, records)
    assert reports == before
    assert ranked != reports


def test_a_quality_that_is_the_same_in_every_repeat_is_no_evidence_of_a_difference() -> None:
    better = {"quality": {"accuracy": 0.96}}
    reports, _ = rank(make_repeats("a", draw_steps(1, 8)) + make_repeats("b", draw_steps(1, 8), evaluation=better))
    assert read_tier(reports["a eager"], "accuracy") == read_tier(reports["b eager"], "accuracy") == 1
    assert read_tier(reports["a eager"], "mse") == metrics.NOT_THIS_LOSS


def test_a_widened_task_is_ranked_by_its_speed_alone() -> None:
    wide = {"cell": {"task": "circle-x16", "batch_size": 1024}}
    records = make_repeats("a", draw_steps(1, 8), **wide) + make_repeats("b", draw_steps(2, 8), **wide)
    reports, comparisons = rank(records)
    assert [read_tier(report, "train_samples_per_s") for report in reports.values()] == [1, 2]
    for metric in ("accuracy", "time_to_target_s"):
        reasons = {str(read_tier(report, metric)).partition(":")[0] for report in reports.values()}
        assert reasons == {"a wider task measures speed only"}
        assert reports["a eager"].metrics[metric].value is not None  # shown nevertheless
    assert not {comparison.metric for comparison in comparisons} & {"accuracy", "time_to_target_s"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"state": State.FAILED, "reason": "why"}, "the cell is failed"),
        ({"parity": None}, "not verified equal: parity was not checked"),
        ({"parity": FAILED_PARITY}, "not verified equal: parity is failed"),
        ({"measurements": {"epochs": []}}, "not measured"),
    ],
)
def test_a_cell_that_is_not_ranked_has_a_reason(changes: dict[str, Any], reason: str) -> None:
    ranked = make_repeats("a", draw_steps(1, 5)) + make_repeats("b", draw_steps(2, 5))
    reports, comparisons = rank([*ranked, *make_repeats("c", draw_steps(0.5, 5), **changes)])
    assert [read_tier(report) for report in reports.values()] == [1, 2, reason]
    assert not [c for c in comparisons if c.metric == "train_samples_per_s" and "c eager" in (c.a, c.b)]


def test_a_target_that_some_repeats_missed_is_not_ranked_by_the_others() -> None:
    first, *rest = make_repeats("a", draw_steps(1, 5)) + make_repeats("b", draw_steps(2, 5))
    missed = replace(first, measurements=replace(first.measurements, time_to_target_s=None))
    reports, _ = rank([missed, *rest])
    assert read_tier(reports["a eager"], "time_to_target_s") == "1 of 5 repeats have no value"
    assert read_tier(reports["b eager"], "time_to_target_s") == "no other cell to compare with"


def test_one_process_and_a_lone_cell_have_no_tier() -> None:
    reports, comparisons = rank(make_repeats("a", [1.0]) + make_repeats("b", [3.0]))
    assert read_tier(reports["a eager"]) == "not enough evidence: 1 of at least 4 repeats"
    assert not comparisons[0].separated
    assert comparisons[0].more_runs == 3
    reports, comparisons = rank(make_repeats("a", draw_steps(1, 5)))
    assert read_tier(reports["a eager"]) == "no other cell to compare with"
    assert comparisons == []


def test_batch_sizes_are_not_compared_with_each_other() -> None:
    steps = draw_steps(1, 5)
    _, comparisons = rank(make_repeats("a", steps) + make_repeats("a", steps, cell={"batch_size": 8}))
    assert comparisons == []


def choose(records: list[Record], left_s: float) -> list[str]:
    """Return the backends of the next round."""
    return [cell.backend for cell in ranking.next_round(records, left_s)]


def test_a_time_budget_is_used_where_a_pair_is_open() -> None:
    clear = make_repeats("c", draw_steps(9, 6, seed=3))
    open_pair = make_repeats("a", draw_steps(1, 6, 0.1, seed=1)) + make_repeats("b", draw_steps(1.05, 6, 0.1, seed=2))
    assert choose(open_pair + clear, 1e6) == ["a", "b"]
    assert choose(open_pair + clear, 20.0) == ["a", "b"]  # a job takes 10 s: one round of two still fits
    assert choose(open_pair + clear, 19.0) == []


def test_a_time_budget_ends_when_every_pair_is_settled() -> None:
    equal = make_repeats("a", draw_steps(1, 8, seed=1)) + make_repeats("b", draw_steps(1, 8, seed=2))
    settled = equal + make_repeats("c", draw_steps(2, 8, seed=3))
    assert choose(settled, 1e6) == []
    failed = make_repeats("d", draw_steps(1, 8), state=State.FAILED, reason="why")
    assert choose(settled + failed, 1e6) == []


def test_a_time_budget_too_small_for_all_pairs_settles_the_nearest() -> None:
    near = make_repeats("a", draw_steps(1, 6, 0.02, seed=1)) + make_repeats("b", draw_steps(1.03, 6, 0.02, seed=2))
    noisy = make_repeats("c", draw_steps(9, 6, 0.1, seed=3)) + make_repeats("d", draw_steps(9, 6, 0.1, seed=4))
    assert choose(near + noisy, 1e6) == ["a", "b", "c", "d"]
    assert choose(near + noisy, 400.0) == ["a", "b"]


def test_a_simulated_run_stops_by_itself() -> None:
    """Simulate a and b 6 % apart in 3 % noise, c three times as slow: c stops first, all within an hour."""
    generator, costs, left_s = np.random.default_rng(5), {"a": 1.0, "b": 1.06, "c": 3.0}, 3600.0
    records: list[Record] = []
    counts = dict.fromkeys(costs, 0)
    backends, number = list(costs), 0
    while backends and number < 100:
        number += 1
        for name in backends:
            noisy = costs[name] * float(np.exp(0.03 * generator.normal()))
            (record,) = make_repeats(name, [noisy])
            records.append(replace(record, repeat=number, job=f"{name}-{number}"))
            counts[name] += 1
            left_s -= 10
        backends = choose(records, left_s)
    print(counts, f"{left_s:.0f} s left")
    assert left_s > 0
    assert counts["c"] < counts["a"] == counts["b"]
    reports, _ = rank(records)
    assert [read_tier(report) for report in reports.values()] == [1, 2, 3]
