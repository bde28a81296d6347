"""From records to tiers and comparisons: what is ranked, what is not and why, and where a budget goes."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crossframe.harness.analysis import metrics, ranking
from crossframe.harness.analysis.labels import names_of
from crossframe.harness.report import document, formats
from tests.support.synthetic import repeats, write_run


def steps(cost: float, n: int, noise: float = 0.001, seed: int = 0) -> list[float]:
    return (cost * np.exp(noise * np.random.default_rng(seed).normal(size=n))).tolist()


def ranked(found: list[dict[str, Any]]) -> tuple[dict[str, dict[str, Any]], list[dict[str, Any]]]:
    """(candidate -> its cell, comparisons)."""
    cells = metrics.cells(found, {})
    comparisons = ranking.rank(cells, found)
    return {ranking.candidate(cell): cell for cell in cells}, comparisons


def tier(cell: dict[str, Any], metric: str = "train_samples_per_s") -> int | str:
    found = cell["metrics"][metric]
    assert (found["tier"] is None) == ("tier_reason" in found)
    return found["tier"] or found["tier_reason"]


def test_fast_ties_and_slow_get_their_tiers() -> None:
    found = repeats("a", steps(1, 6, seed=1)) + repeats("b", steps(1, 6, seed=2)) + repeats("c", steps(2, 6, seed=3))
    cells, comparisons = ranked(found)
    for metric in ("train_samples_per_s", "step_s", "infer_latency_s", "time_to_target_s"):
        assert [tier(cell, metric) for cell in cells.values()] == [1, 1, 2], metric
    for metric in ("onnx_bytes", "host_peak_bytes", "accuracy"):
        assert [tier(cell, metric) for cell in cells.values()] == [1, 1, 1], metric
    slow = next(c for c in comparisons if c["metric"] == "step_s" and (c["a"], c["b"]) == ("a eager", "c eager"))
    assert slow["separated"] and slow["more_runs"] is None and slow["low"] < 0.5 < slow["high"]


def test_a_quality_that_is_the_same_in_every_repeat_is_no_evidence_of_a_difference() -> None:
    better = {"quality": {"accuracy": 0.96}}
    cells, _ = ranked(repeats("a", steps(1, 8)) + repeats("b", steps(1, 8), verdict=better))
    assert tier(cells["a eager"], "accuracy") == tier(cells["b eager"], "accuracy") == 1
    assert tier(cells["a eager"], "mse") == metrics.NOT_THIS_LOSS


def test_a_scaled_task_is_ranked_by_its_speed_alone() -> None:
    wide = {"cell": {"task": "circle-x16", "batch_size": 1024}}
    cells, comparisons = ranked(repeats("a", steps(1, 8), **wide) + repeats("b", steps(2, 8), **wide))
    assert [tier(cell, "train_samples_per_s") for cell in cells.values()] == [1, 2]
    for metric in ("accuracy", "time_to_target_s"):
        assert {str(tier(cell, metric)).partition(":")[0] for cell in cells.values()} == {"scaled for speed alone"}
        assert cells["a eager"]["metrics"][metric]["value"] is not None  # shown all the same
    assert not {one["metric"] for one in comparisons} & {"accuracy", "time_to_target_s"}


@pytest.mark.parametrize(
    "changed, reason",
    [
        ({"state": "failed", "reason": "why"}, "the cell is failed"),
        ({"parity": None}, "not proven equal: parity was not checked"),
        ({"parity": {"state": "failed", "reason": "why", "hint": None}}, "not proven equal: parity is failed"),
        ({"measures": {"epochs": []}}, "not measured"),
    ],
)
def test_what_is_not_ranked_says_why(changed: dict[str, Any], reason: str) -> None:
    sound = repeats("a", steps(1, 5)) + repeats("b", steps(2, 5))
    cells, comparisons = ranked([*sound, *repeats("c", steps(0.5, 5), **changed)])
    assert [tier(cell) for cell in cells.values()] == [1, 2, reason]
    assert not [c for c in comparisons if c["metric"] == "train_samples_per_s" and "c eager" in (c["a"], c["b"])]


def test_a_target_that_some_repeats_missed_is_not_ranked_by_the_others() -> None:
    found = repeats("a", steps(1, 5)) + repeats("b", steps(2, 5))
    found[0]["measures"]["time_to_target_s"] = None
    cells, _ = ranked(found)
    assert tier(cells["a eager"], "time_to_target_s") == "1 of 5 repeats have none"
    assert tier(cells["b eager"], "time_to_target_s") == "nothing to compare it with"


def test_one_process_and_a_lone_cell_have_no_tier() -> None:
    cells, comparisons = ranked(repeats("a", [1.0]) + repeats("b", [3.0]))
    assert tier(cells["a eager"]) == "not enough evidence: 1 of at least 4 repeats"
    assert not comparisons[0]["separated"] and comparisons[0]["more_runs"] == 3
    cells, comparisons = ranked(repeats("a", steps(1, 5)))
    assert tier(cells["a eager"]) == "nothing to compare it with" and comparisons == []


def test_batch_sizes_are_not_compared_with_each_other() -> None:
    _, comparisons = ranked(repeats("a", steps(1, 5)) + repeats("a", steps(1, 5), cell={"batch_size": 8}))
    assert comparisons == []


def test_the_report_shows_tiers_in_every_format(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", repeats("a", steps(1, 5)) + repeats("b", steps(2, 5)) + repeats("c", [1.0]))
    told = document.document(run)
    parsed = json.loads(formats.as_json(told))  # checks the schema
    assert len(parsed["comparisons"]) == 3 * sum(name != "mse" for name in ranking.RANKED)
    column = formats.headings().index("tier")
    assert [row[column] for row in formats.rows(told["cells"])] == ["1", "2", "-"]
    assert "no tier: not enough evidence: 1 of at least 5 repeats" in formats.as_markdown(told)
    rows = list(csv.DictReader(io.StringIO(formats.as_csv(told))))
    shown = {row["backend"]: row["tier"] for row in rows if row["metric"] == "step_s"}
    assert shown == {"a": "1", "b": "2", "c": ""}


def chosen(found: list[dict[str, Any]], left_s: float) -> list[str]:
    return [cell["backend"] for cell in ranking.next_round(found, left_s)]


def test_a_budget_goes_where_a_pair_is_open() -> None:
    clear = repeats("c", steps(9, 6, seed=3))
    open_pair = repeats("a", steps(1, 6, 0.1, seed=1)) + repeats("b", steps(1.05, 6, 0.1, seed=2))
    assert chosen(open_pair + clear, 1e6) == ["a", "b"]
    assert chosen(open_pair + clear, 20.0) == ["a", "b"]  # a job takes 10 s: one round of two still fits
    assert chosen(open_pair + clear, 19.0) == []


def test_a_budget_ends_where_everything_is_settled() -> None:
    settled = repeats("a", steps(1, 8, seed=1)) + repeats("b", steps(1, 8, seed=2)) + repeats("c", steps(2, 8, seed=3))
    assert chosen(settled, 1e6) == []
    failed = repeats("d", steps(1, 8), state="failed", reason="why")
    assert chosen(settled + failed, 1e6) == []


def test_a_budget_that_is_too_small_for_all_settles_what_it_can() -> None:
    near = repeats("a", steps(1, 6, 0.02, seed=1)) + repeats("b", steps(1.03, 6, 0.02, seed=2))
    noisy = repeats("c", steps(9, 6, 0.1, seed=3)) + repeats("d", steps(9, 6, 0.1, seed=4))
    assert chosen(near + noisy, 1e6) == ["a", "b", "c", "d"]
    assert chosen(near + noisy, 400.0) == ["a", "b"]


def test_rounds_go_on_until_a_simulated_run_stops_by_itself() -> None:
    """a and b 6 % apart in 3 % noise, c three times as slow: c stops first, and the run ends within its hour."""
    generator, costs, found, left_s = np.random.default_rng(5), {"a": 1.0, "b": 1.06, "c": 3.0}, [], 3600.0
    counts = dict.fromkeys(costs, 0)
    wanted, number = list(costs), 0
    while wanted and number < 100:
        number += 1
        for name in wanted:
            noisy = costs[name] * float(np.exp(0.03 * generator.normal()))
            found += [one | {"repeat": number, "job": f"{name}-{number}"} for one in repeats(name, [noisy])]
            counts[name] += 1
            left_s -= 10
        wanted = chosen(found, left_s)
    print(counts, f"{left_s:.0f} s left")
    assert left_s > 0 and counts["c"] < counts["a"] == counts["b"]
    cells, _ = ranked(found)
    assert [tier(cell) for cell in cells.values()] == [1, 2, 3]


def test_a_name_tells_what_a_run_varies_and_no_more() -> None:
    cells = [
        {"task": task, "backend": "a", "mode": "jit", "device": "cpu", "precision": precision, "batch_size": size}
        for task, precision, size in (("cnn", "float32", 64), ("cnn", "bfloat16", 64), ("lstm", "float32", 8))
    ]
    assert [" ".join(name) for name in names_of(cells)] == ["cnn a jit float32", "cnn a jit bfloat16", "lstm a jit"]
