"""The verdict on two candidates in JavaScript, on the comparisons of Python."""

import json
from typing import Any

import pytest
import quickjs

from crossframe.harness.analysis.statistics import Comparison, compare
from crossframe.harness.report.page.packing import HERE
from crossframe.harness.report.ratios import Ratio

STEPS = [1.00, 1.01, 0.99, 1.02, 0.98, 1.00, 1.01, 1.0]


@pytest.fixture(scope="module")
def context() -> quickjs.Context:
    context = quickjs.Context()
    for name in ("page_math.js", "pair_math.js"):
        context.eval((HERE / name).read_text())
    return context


def call(context: quickjs.Context, function: str, *arguments: object) -> Any:
    values = ", ".join(map(json.dumps, arguments))
    return json.loads(context.eval(f"JSON.stringify(pairMath.{function}({values}))"))


def compare_two(factor: float, noise: float, rounds: int = 8) -> Comparison:
    """Return the comparison of `fast` with `slow`, whose times are `factor` longer; alternating noise."""
    steps = STEPS[:rounds]
    slow = {n: factor * step * (1 + (noise if n % 2 else -noise)) for n, step in enumerate(steps)}
    (pair,) = compare({"fast": dict(enumerate(steps)), "slow": slow}, "less", 0.01)
    return pair


def entry(pair: Comparison) -> dict[str, Any]:
    return {
        "ratio": pair.ratio,
        "low": pair.low,
        "high": pair.high,
        "separated": pair.separated,
        "more": pair.more_runs,
    }


def test_a_separated_pair_names_the_better_one_and_its_factor(context: quickjs.Context) -> None:
    pair = compare_two(2.0, 0.1)
    assert pair.separated
    assert pair.a == "fast"
    inverse = Ratio(pair.ratio, pair.low, pair.high).invert()
    text = call(context, "describeEntry", entry(pair), "less", "fast", "slow")
    assert text == f"fast {inverse} [{inverse.interval}]"
    assert call(context, "findBetter", entry(pair), "more") == "b"  # where more is better, the slow one has more


def test_a_tie_and_an_open_pair_name_no_winner(context: quickjs.Context) -> None:
    equal, unsettled = compare_two(1.0, 0.0), compare_two(1.05, 0.3)
    assert equal.more_runs is None
    assert call(context, "describeEntry", entry(equal), "less", "fast", "slow") == "equal"
    assert unsettled.more_runs is not None
    text = call(context, "describeEntry", entry(unsettled), "less", "fast", "slow")
    assert text == f"not separated, about {unsettled.more_runs} more repeats"
    assert call(context, "describeEntry", None, "less", "fast", "slow") == "not compared"


def test_the_sentence_counts_workloads(context: quickjs.Context) -> None:
    faster, equal, unsettled = (entry(compare_two(*arguments)) for arguments in ((2.0, 0.1), (1.0, 0.0), (1.05, 0.3)))
    text = call(context, "summarize", [faster, faster, equal, unsettled, None], "less", "fast", "slow")
    assert text == "fast is better on 2, equal on 1, not separated on 1, not compared on 1 of 5 workloads."
    assert call(context, "summarize", [faster], "more", "fast", "slow") == "slow is better on 1 of 1 workload."
    assert (
        call(context, "summarize", [None], "less", "fast", "slow") == "fast and slow are not compared in any workload."
    )


@pytest.mark.parametrize(
    ("low", "high", "is_equal", "words"),
    [
        (0.5, 1.5, False, "fast is ahead beyond the noise"),
        (-1.5, -0.5, False, "slow is ahead beyond the noise"),
        (-1.0, 1.0, False, "not separated"),
        (-0.01, 0.01, True, "equal for practical purposes"),
    ],
)
def test_weighed_scores(context: quickjs.Context, low: float, high: float, is_equal: bool, words: str) -> None:
    scores = {"gap": (low + high) / 2, "low": low, "high": high, "repeats": 8, "isEqual": is_equal}
    text = call(context, "describeScores", scores, "fast", "slow", "research")
    assert text.endswith(f": {words}.")
    assert f"scores {2 ** ((low + high) / 2):.2f} times slow" in text


def test_scores_without_an_interval(context: quickjs.Context) -> None:
    single = {"gap": 1.0, "low": None, "high": None, "repeats": 1, "isEqual": False}
    assert call(context, "describeScores", single, "fast", "slow", "edge").endswith("one repeat has no interval.")
    assert "can't both compete for edge" in call(context, "describeScores", None, "fast", "slow", "edge")
