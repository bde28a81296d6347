"""The calculations of the page in JavaScript give the results of the Python code."""

import json
import math
import random
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import quickjs

from crossframe.backends.manifest import Fact
from crossframe.harness.analysis.metrics import build_cell_reports
from crossframe.harness.analysis.statistics import median_interval
from crossframe.harness.decision.candidates import list_candidates
from crossframe.harness.decision.criteria import LOOKED_UP, USE_CASES
from crossframe.harness.decision.decide import decide_among, find_flips
from crossframe.harness.decision.model import Candidate, Facts, Verdict
from crossframe.harness.records.codec import to_plain
from crossframe.harness.records.model import Record
from crossframe.harness.report.page.page import HERE
from crossframe.harness.report.page.weighing import build_weighing
from crossframe.harness.report.ratios import Ratio
from tests.support.synthetic import make_record

YES = Fact(value=True, date="2026-11-21", source="a page")
FACTS: dict[str, Facts] = {name: dict.fromkeys(LOOKED_UP, YES) for name in "abc"}
NOISE = {"quiet": 0.001, "noisy": 0.5}


@pytest.fixture(scope="module")
def page_math() -> quickjs.Context:
    context = quickjs.Context()
    context.eval((HERE / "page_math.js").read_text())
    return context


def call(context: quickjs.Context, function: str, *arguments: object) -> Any:
    """Return the result of a function of page_math.js."""
    values = ", ".join(map(json.dumps, arguments))
    return json.loads(context.eval(f"JSON.stringify(pageMath.{function}({values}))"))


@pytest.mark.parametrize("count", range(2, 16))
def test_intervals_of_the_median(page_math: quickjs.Context, count: int) -> None:
    values = np.random.default_rng(count).normal(size=count)
    low, high = call(page_math, "medianInterval", values.tolist())
    assert (low, high) == pytest.approx(median_interval(values), rel=1e-9)
    assert call(page_math, "median", values.tolist()) == pytest.approx(float(np.median(values)))


def test_a_single_value_has_no_interval(page_math: quickjs.Context) -> None:
    assert page_math.eval("pageMath.medianInterval([1]).join(' ')") == "-Infinity Infinity"


def test_the_text_of_ratios(page_math: quickjs.Context) -> None:
    draw = random.Random(0)
    ratios = [Ratio(1.5), Ratio(2.0, 2.0, 2.0), Ratio(2.0, 2.0, 2.0000000001)]
    for _ in range(200):
        value = math.exp(draw.gauss(0, 1))
        width = 10 ** draw.uniform(-5, 1)
        ratios.append(Ratio(value, value - width * value / 3, value + width * value))
    for ratio in ratios:
        arguments = {"ratio": ratio.value, "low": ratio.low, "high": ratio.high}
        assert call(page_math, "formatRatio", arguments) == str(ratio)
        assert call(page_math, "formatInterval", arguments) == ratio.interval
    decimals = {len(str(ratio).partition("x")[0].partition(".")[2]) for ratio in ratios}
    assert decimals == {0, 1, 2, 3}


def test_inverted_ratios(page_math: quickjs.Context) -> None:
    for ratio in (Ratio(1.6), Ratio(1.6, 1.2, 2.0)):
        inverted = call(page_math, "invertRatio", {"ratio": ratio.value, "low": ratio.low, "high": ratio.high})
        assert Ratio(inverted["ratio"], inverted["low"], inverted["high"]) == ratio.invert()


def test_the_envelope_is_the_highest_line_everywhere(page_math: quickjs.Context) -> None:
    draw = random.Random(1)
    for _ in range(50):
        lines = {str(index): (draw.gauss(0, 1), draw.gauss(0, 1)) for index in range(6)}
        plain = [{"name": name, "at0": start, "at1": end} for name, (start, end) in lines.items()]
        segments = call(page_math, "findEnvelope", plain)
        assert [segments[0]["from"], segments[-1]["to"]] == [0, 1]
        assert all(before["to"] == after["from"] for before, after in pairwise(segments))
        for segment in segments:
            middle = (segment["from"] + segment["to"]) / 2
            heights = {name: start + middle * (end - start) for name, (start, end) in lines.items()}
            assert segment["name"] == max(heights, key=lambda name: heights[name])


def make_records(noise: float, repeats: int, factors: Mapping[str, float]) -> list[Record]:
    """Return rounds of backends whose time and memory have opposite orders."""
    draw = random.Random(3)
    return [
        make_record(
            name,
            repeat,
            0.01 * factor * math.exp(draw.gauss(0, noise)),
            measurements={"host_peak_bytes": int(2e8 / factor)},
        )
        for name, factor in factors.items()
        for repeat in range(1, repeats + 1)
    ]


def weigh_use_case(page_math: quickjs.Context, records: list[Record], use_case: str) -> tuple[Any, list[Candidate]]:
    """Return the result of page_math.js at the weights of a use case, and the candidates of the Python code."""
    cells = build_cell_reports(records, {})
    weighing = to_plain(build_weighing(cells, records, FACTS))
    weights = weighing["use_cases"][use_case]["weights"]
    return call(page_math, "weigh", weighing, use_case, weights), list_candidates(records, FACTS, cells)


VERDICTS = {
    "clear": ({"a": 1.0, "b": 1.5, "c": 3.0}, 8, "quiet"),
    "tie": ({"a": 1.0, "b": 1.0, "c": 1.0}, 8, "quiet"),
    "not enough evidence": ({"a": 1.0, "b": 1.5, "c": 3.0}, 8, "noisy"),
    "too few repeats": ({"a": 1.0, "b": 1.5, "c": 3.0}, 2, "quiet"),
}


@pytest.mark.parametrize("use_case", USE_CASES)
@pytest.mark.parametrize("case", VERDICTS)
def test_the_verdict_at_the_weights_of_a_use_case(page_math: quickjs.Context, case: str, use_case: str) -> None:
    factors, repeats, noise = VERDICTS[case]
    result, candidates = weigh_use_case(page_math, make_records(NOISE[noise], repeats, factors), use_case)
    decision = decide_among(candidates, USE_CASES[use_case], USE_CASES[use_case].requirements)
    assert decision.reason in result["text"]  # at the weights of the use case, the page shows the decision itself
    assert result["excluded"] == decision.excluded
    if decision.choice:
        assert result["leader"] == decision.choice[0]
    if decision.verdict is not Verdict.DEPENDS:  # which follows from the doubt about weights, which sliders do not have
        assert result["verdict"] == decision.verdict
    if case == "tie":
        assert result["verdict"] == "tie"
    if case == "too few repeats":
        assert result["verdict"] == "not enough evidence"


@pytest.mark.parametrize("use_case", USE_CASES)
def test_winners_change_where_decide_flips(page_math: quickjs.Context, use_case: str) -> None:
    factors = {"a": 1.0, "b": 1.2, "c": 1.5}
    result, candidates = weigh_use_case(page_math, make_records(0.001, 8, factors), use_case)
    fit = [candidate for candidate in candidates if candidate.name not in result["excluded"]]
    (leader,) = [candidate for candidate in fit if candidate.name == result["leader"]]
    flips = find_flips(fit, leader, USE_CASES[use_case].normalize_weights())
    inner = [flip for flip in flips if 0 < flip.at < 1]
    assert inner
    for flip in inner:
        segments = result["winners"][flip.criterion]
        index = next(i for i, segment in enumerate(segments) if segment["from"] <= flip.weight <= segment["to"])
        assert segments[index]["name"] == leader.name
        step = 1 if flip.at > flip.weight else -1
        assert segments[index]["to" if step > 0 else "from"] == pytest.approx(flip.at, abs=1e-5)
        assert segments[index + step]["name"] == flip.to


def test_moved_weights_have_a_new_verdict(page_math: quickjs.Context) -> None:
    records = make_records(0.001, 8, {"a": 1.0, "b": 1.5, "c": 3.0})
    weighing = to_plain(build_weighing(build_cell_reports(records, {}), records, FACTS))
    zeros = dict.fromkeys(weighing["criteria"], 0)
    assert call(page_math, "weigh", weighing, "research", zeros)["text"] == "All weights are 0, so no criterion counts."
    speed = call(page_math, "weigh", weighing, "research", zeros | {"train_samples_per_s": 3})
    assert speed["text"].startswith("a leads beyond the noise")
    memory = call(page_math, "weigh", weighing, "research", zeros | {"host_peak_bytes": 3})
    assert memory["text"].startswith("c leads beyond the noise")
    gaps = {comparison["name"]: comparison["gap"] for comparison in memory["comparisons"]}
    assert gaps == pytest.approx({"b": -1.0, "a": -math.log2(3)}, abs=1e-5)  # one point is a factor of two


def test_two_candidates_are_compared_as_the_leader_is_with_its_rival(page_math: quickjs.Context) -> None:
    records = make_records(0.001, 8, {"a": 1.0, "b": 1.5, "c": 3.0})
    weighing = to_plain(build_weighing(build_cell_reports(records, {}), records, FACTS))
    weights = dict.fromkeys(weighing["criteria"], 0) | {"train_samples_per_s": 3}
    result = call(page_math, "weigh", weighing, "research", weights)
    pair = call(page_math, "comparePair", weighing, "research", weights, "c", "a")
    assert [pair] == [comparison for comparison in result["comparisons"] if comparison["name"] == "c"]
    swapped = call(page_math, "comparePair", weighing, "research", weights, "a", "c")
    assert swapped["gap"] == pytest.approx(-pair["gap"])
    zeros = dict.fromkeys(weights, 0)
    assert call(page_math, "comparePair", weighing, "research", zeros, "a", "c") is None
    assert call(page_math, "comparePair", weighing, "research", weights, "a", "missing") is None


@pytest.mark.parametrize(("last_round", "verdict"), [(1.3, "not enough evidence"), (0.4, "clear")])
def test_a_rival_is_one_whose_interval_reaches_the_leader(
    page_math: quickjs.Context, last_round: float, verdict: str
) -> None:
    repeats = list(range(1, 7))
    weighing = {
        "fewest": {"2": 4},
        "equal": 0.05,
        "candidates": {
            "a": {"points": {"speed": 1.0}, "rounds": {"speed": [1.0] * 6}, "repeats": repeats},
            "b": {
                "points": {"speed": 0.5},
                "rounds": {"speed": [0.2, 0.5, 0.5, 0.4, last_round, last_round]},
                "repeats": repeats,
            },
        },
        "use_cases": {"speed": {"weights": {"speed": 2}, "excluded": {}}},
    }
    assert call(page_math, "weigh", weighing, "speed", {"speed": 1})["verdict"] == verdict
