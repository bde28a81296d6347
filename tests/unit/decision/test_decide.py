"""Decisions from synthetic runs: every verdict, every requirement, and properties that hold for all values."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from crossframe.backends.manifest import Fact
from crossframe.harness.decision import criteria, decide
from crossframe.harness.decision.candidates import list_candidates
from crossframe.harness.decision.criteria import CRITERIA, MEASURED, USE_CASES, UseCase
from crossframe.harness.decision.model import Candidate, Decision, Facts, Verdict
from crossframe.harness.errors import UsageError
from crossframe.harness.records.model import OnnxAgreement, ParitySummary, Record
from crossframe.harness.worker.states import State
from tests.support.synthetic import make_repeats

KNOWN = Fact(value=True, date="2026-11-21", source="a page")
FACTS: dict[str, Facts] = {name: dict.fromkeys(criteria.LOOKED_UP, KNOWN) for name in "abcdef"}
NO_ONNX = OnnxAgreement(State.UNSUPPORTED, "no", None, None, None)
LARGE_ONNX = OnnxAgreement(State.OK, None, export_s=0.5, onnx_bytes=9000, max_error=1e-7)
FAILED_PARITY = ParitySummary(State.FAILED, "gates", None)
SPEED = UseCase("speed", {"train_samples_per_s": 1.0})


def draw_steps(cost: float, n: int = 6, noise: float = 0.002, seed: int = 0) -> list[float]:
    steps: list[float] = (cost * np.exp(noise * np.random.default_rng(seed).normal(size=n))).tolist()
    return steps


def use_memory(peak_bytes: int) -> dict[str, int]:
    return {"host_peak_bytes": peak_bytes}


def decide_on(
    records: Sequence[Record],
    use_case: UseCase = SPEED,
    requirements: Sequence[str] = (),
    facts: Mapping[str, Facts] = FACTS,
) -> tuple[Decision, dict[str, Candidate]]:
    candidates = list_candidates(records, facts)
    decision = decide.decide(candidates, facts, use_case, requirements)
    return decision, {candidate.name: candidate for candidate in candidates}


def test_clear_if_one_is_first_for_all_weights() -> None:
    both = UseCase("both", {"train_samples_per_s": 4.0, "host_peak_bytes": 1.0})
    fast = make_repeats("a", draw_steps(1, seed=1), measurements=use_memory(110_000_000))
    decision, _ = decide_on(fast + make_repeats("b", draw_steps(3, seed=2)), both)
    assert (decision.verdict, decision.choice) == (Verdict.CLEAR, ["a"])
    assert decision.first_probability["a"] == 1
    assert decision.excluded == {}  # b needs less memory, so it is not dominated
    assert decision.flips[0].to == "b"


def test_tie_if_two_are_equal() -> None:
    steps = draw_steps(1, noise=0.1)
    decision, _ = decide_on(make_repeats("a", steps) + make_repeats("b", steps))
    assert (decision.verdict, decision.choice) == (Verdict.TIE, ["a", "b"])
    assert decision.first_probability == {"a": 0.5, "b": 0.5}


def test_depends_if_a_weight_flips_it() -> None:
    even = UseCase("even", {"train_samples_per_s": 0.5, "host_peak_bytes": 0.5})
    fast = make_repeats("a", draw_steps(1, seed=1), measurements=use_memory(400_000_000))
    small = make_repeats("b", draw_steps(3.6, seed=2), measurements=use_memory(100_000_000))
    decision, _ = decide_on(fast + small, even)
    assert (decision.verdict, set(decision.choice)) == (Verdict.DEPENDS, {"a", "b"})
    # b is 3.6 times as slow and needs a quarter: equal where log2(3.6) t = 2 (1 - t).
    speed = next(flip for flip in decision.flips if flip.criterion == "train_samples_per_s")
    assert_allclose(speed.at, 2 / (2 + np.log2(3.6)), atol=0.01)


def test_a_criterion_in_which_all_are_equal_flips_nothing() -> None:
    weights = UseCase("both", {"train_samples_per_s": 0.9, "distributed": 0.1, "host_peak_bytes": 0.0})
    records = make_repeats("a", draw_steps(1, seed=1)) + make_repeats("b", draw_steps(1.5, seed=2))
    small = make_repeats("c", draw_steps(2, seed=3), measurements=use_memory(50_000_000))
    decision, _ = decide_on(records, weights)
    assert decision.flips == []  # at 100 % of `distributed`, which both have, the score is the same
    memory = replace(weights, weights={**weights.weights, "host_peak_bytes": 0.1})
    assert [(flip.criterion, flip.to) for flip in decide_on(records + small, memory)[0].flips] == [
        ("host_peak_bytes", "c"),
        ("train_samples_per_s", "c"),
    ]


def test_candidates_within_five_percent_at_every_weight_do_not_flip() -> None:
    both = UseCase("both", {"train_samples_per_s": 0.5, "host_peak_bytes": 0.5})
    fast = make_repeats("a", draw_steps(1, noise=0), measurements=use_memory(104_000_000))
    for memory, flips in ((100_000_000, []), (90_000_000, ["host_peak_bytes", "train_samples_per_s"])):
        small = make_repeats("b", draw_steps(1.2, noise=0), measurements=use_memory(memory))
        assert sorted(flip.criterion for flip in decide_on(fast + small, both)[0].flips) == flips


def test_texts_have_titles_and_choices_have_names() -> None:
    records = make_repeats("a", draw_steps(1, 6, 0.4, seed=1)) + make_repeats("b", draw_steps(1.05, 6, 0.4, seed=2))
    candidates = list_candidates(records, FACTS, titles={"a": "Alpha", "b": "Beta"})
    decision = decide.decide(candidates, FACTS, SPEED, [])
    assert (decision.leader, decision.choice) == ("b", [])
    assert decision.reason == "the noise does not separate Beta from Alpha"


def test_the_target_of_a_widened_task_does_not_count() -> None:
    cell = {"task": "circle-x16", "batch_size": 1024}
    late = make_repeats("a", draw_steps(1), measurements={"time_to_target_s": 1e6}, cell=cell)
    wide = late + make_repeats("b", draw_steps(1), cell=cell)
    learning = UseCase("learning", {"time_to_target_s": 1.0})
    plain = make_repeats("a", draw_steps(1)) + make_repeats("b", draw_steps(3))
    (decision, candidates), (_, before) = decide_on(plain + wide, learning), decide_on(plain, learning)
    assert (decision.verdict, decision.choice) == (Verdict.CLEAR, ["a"])
    assert candidates["a"].points["time_to_target_s"] == before["a"].points["time_to_target_s"]
    assert candidates["a"].points["train_samples_per_s"] != before["a"].points["train_samples_per_s"]
    assert "time_to_target_s" not in decide_on(wide, learning)[1]["a"].points


def test_not_enough_evidence_in_noise_tells_how_many_more_runs() -> None:
    records = make_repeats("a", draw_steps(1, 6, 0.4, seed=1)) + make_repeats("b", draw_steps(1.05, 6, 0.4, seed=2))
    decision, _ = decide_on(records)
    assert (decision.verdict, decision.choice) == (Verdict.NOT_ENOUGH_EVIDENCE, [])
    assert decision.more_runs is not None
    assert decision.more_runs > 10


def test_not_enough_evidence_from_one_repeat() -> None:
    decision, _ = decide_on(make_repeats("a", [1.0]) + make_repeats("b", [9.0]))
    assert (decision.verdict, decision.more_runs) == (Verdict.NOT_ENOUGH_EVIDENCE, 3)
    assert decision.first_probability == {}
    assert decision.excluded == {}


def test_none_fits_if_requirements_exclude_all() -> None:
    records = make_repeats("a", draw_steps(1)) + make_repeats("b", draw_steps(2))
    decision, _ = decide_on(records, requirements=["device=cuda"])
    assert decision.verdict == Verdict.NONE_FITS
    assert decision.excluded["a"] == "was not run on cuda"
    assert decide_on([])[0].verdict == Verdict.NONE_FITS


@pytest.mark.parametrize(
    ("changes", "requirements", "reason"),
    [
        (
            {"state": State.FAILED, "reason": "it broke"},
            (),
            "circle cpu float32 64: failed: 6 of 6 repeats: it broke",
        ),
        ({"parity": None}, (), "circle cpu float32 64: not verified equal: parity was not checked"),
        ({"parity": FAILED_PARITY}, (), "circle cpu float32 64: not verified equal: gates"),
        ({"evaluation": {"onnx": NO_ONNX}}, ("exports",), "does not export circle to ONNX: no"),
        ({"measurements": {"epochs": []}}, (), "has no train_samples_per_s in every workload"),
    ],
)
def test_a_candidate_that_fails_a_requirement_is_excluded_with_a_reason(
    changes: dict[str, Any], requirements: tuple[str, ...], reason: str
) -> None:
    records = make_repeats("a", draw_steps(1), **changes) + make_repeats("b", draw_steps(2))
    decision, _ = decide_on(records, requirements=requirements)
    assert decision.excluded == {"a": reason}
    assert decision.choice == ["b"]


def test_facts_can_be_required() -> None:
    records = [
        record for cost, name in ((1, "a"), (2, "b"), (3, "c")) for record in make_repeats(name, draw_steps(cost))
    ]
    licence = replace(KNOWN, value="Apache-2.0")
    facts: dict[str, Facts] = {
        "a": {"maintained": replace(KNOWN, value=False)},
        "b": {"maintained": KNOWN, "licence": licence},
    }
    decision, _ = decide_on(records, requirements=["maintained", "licence=MIT|Apache-2.0"], facts=facts)
    assert decision.choice == ["b"]
    assert decision.excluded == {"a": "maintained is no", "c": "unknown whether maintained"}
    decision, _ = decide_on(records, requirements=["licence=MIT"], facts=facts)
    assert decision.excluded["b"] == "licence is Apache-2.0"


@pytest.mark.parametrize("requirement", ["maintaned", "device", "licence="])
def test_an_unknown_requirement_is_an_error(requirement: str) -> None:
    with pytest.raises(UsageError, match="--require"):
        decide_on(make_repeats("a", draw_steps(1)), requirements=[requirement])


def test_the_requirements_of_a_use_case_hold_too() -> None:
    strict = replace(SPEED, requirements=("maintained",))
    records = make_repeats("a", draw_steps(1)) + make_repeats("b", draw_steps(2))
    decision, _ = decide_on(records, strict, facts={"b": FACTS["b"]})
    assert decision.excluded == {"a": "unknown whether maintained"}


def test_a_backend_without_one_of_the_workloads_is_excluded() -> None:
    records = make_repeats("a", draw_steps(1)) + make_repeats("b", draw_steps(2))
    decision, candidates = decide_on(records + make_repeats("b", draw_steps(2), cell={"batch_size": 8}))
    assert decision.excluded == {"a": "circle cpu float32 8: not in this run"}
    assert candidates["a"].excluded == decision.excluded["a"]


def test_a_backend_competes_with_its_fastest_verified_mode() -> None:
    fast = make_repeats("a", draw_steps(1), cell={"mode": "fast"})
    wrong = make_repeats("a", draw_steps(0.1), cell={"mode": "wrong"}, parity=FAILED_PARITY)
    _, candidates = decide_on(fast + wrong + make_repeats("a", draw_steps(5)) + make_repeats("b", draw_steps(2)))
    assert [report.mode for report in candidates["a"].cells] == ["fast"]


def test_an_unknown_fact_of_both_is_no_difference_and_of_one_is_doubt() -> None:
    facts_only = UseCase("facts", {"maintained": 1.0})
    records = make_repeats("a", draw_steps(1)) + make_repeats("b", draw_steps(1))
    assert decide_on(records, facts_only, facts={})[0].verdict == Verdict.TIE
    _, candidates = decide_on(records, facts_only, facts={"a": FACTS["a"]})
    assert candidates["b"].points["maintained"] == 0.5
    assert candidates["b"].points_drawn["maintained"].std() > 0.2


any_weights = st.fixed_dictionaries({name: st.floats(0, 10) for name in CRITERIA}).filter(
    lambda weights: sum(weights.values()) > 0.1
)
# Speed and memory within a factor of eight, so that scores lie close enough to be reordered.
any_costs = st.lists(st.tuples(st.floats(1, 8), st.integers(10**8, 8 * 10**8)), min_size=3, max_size=5)
two_weights = st.fixed_dictionaries({"train_samples_per_s": st.floats(0.1, 1), "host_peak_bytes": st.floats(0.1, 1)})


def order_by_score(records: Sequence[Record], weights: dict[str, float]) -> list[str]:
    """Return the candidates by their score without noise and doubt."""
    scores = {
        candidate.name: sum(weight * candidate.points[name] for name, weight in weights.items())
        for candidate in list_candidates(records, FACTS)
    }
    return sorted(scores, key=lambda name: -scores[name])


@settings(max_examples=60, deadline=None)
@given(any_costs, two_weights, st.data())
def test_adding_or_removing_a_candidate_does_not_reorder_the_others(
    costs: list[tuple[float, int]], weights: dict[str, float], data: st.DataObject
) -> None:
    runs = {
        name: make_repeats(name, draw_steps(cost, seed=index), measurements=use_memory(peak))
        for index, (name, (cost, peak)) in enumerate(zip("abcdef", costs))
    }
    removed = data.draw(st.sampled_from(sorted(runs)))
    whole = order_by_score([record for records in runs.values() for record in records], weights)
    rest = order_by_score([record for name, records in runs.items() for record in records if name != removed], weights)
    assert [name for name in whole if name != removed] == rest


@settings(max_examples=25, deadline=None)
@given(st.integers(4, 9), st.floats(0, 0.5), any_weights)
def test_two_equal_candidates_always_tie(n: int, noise: float, weights: dict[str, float]) -> None:
    steps = draw_steps(1, n, noise)
    decision, _ = decide_on(make_repeats("a", steps) + make_repeats("b", steps), UseCase("drawn", weights))
    assert (decision.verdict, decision.choice) == (Verdict.TIE, ["a", "b"])


@settings(max_examples=25, deadline=None)
@given(st.floats(1.5, 20), any_weights)
def test_a_candidate_that_is_worse_in_everything_is_never_chosen(factor: float, weights: dict[str, float]) -> None:
    worse = make_repeats(
        "a",
        draw_steps(factor, 6, seed=1),
        measurements={
            "import_s": 1.0 * factor,
            "host_peak_bytes": int(1e8 * factor),
            "infer_batch_samples_s": [factor] * 3,
        },
        evaluation={"onnx": LARGE_ONNX},
    )
    decision, _ = decide_on(worse + make_repeats("b", draw_steps(1, 6, seed=2)), UseCase("drawn", weights))
    assert decision.choice == ["b"]
    assert decision.excluded == {"a": "b is better in everything, beyond the noise"}


def test_a_fact_in_favour_prevents_dominance() -> None:
    worse: dict[str, Any] = {
        "measurements": {"import_s": 2.0, "host_peak_bytes": 2 * 10**8},
        "evaluation": {"onnx": LARGE_ONNX},
    }
    records = make_repeats("a", draw_steps(1)) + make_repeats("b", draw_steps(2), **worse)
    dominated = {"b": "a is better in everything, beyond the noise"}
    assert decide_on(records)[0].excluded == dominated
    retired = {"a": {**FACTS["a"], "maintained": replace(KNOWN, value=False)}, "b": FACTS["b"]}
    assert decide_on(records, facts=retired)[0].excluded == {}
    assert decide_on(records, facts={})[0].excluded == dominated  # unknown of both is no difference


@pytest.mark.frameworks  # simulates for seconds
@pytest.mark.parametrize(
    ("noise", "use_case"), [(0.03, SPEED), (0.1, USE_CASES["research"])], ids=["speed", "research"]
)
def test_a_verdict_is_rarely_clear_if_nothing_differs(noise: float, use_case: UseCase) -> None:
    generator, tries = np.random.default_rng(0), 60
    clear = 0
    for _ in range(tries):
        runs = [make_repeats(name, np.exp(noise * generator.normal(size=8)).tolist()) for name in "abc"]
        clear += decide_on([record for run in runs for record in run], use_case)[0].verdict == Verdict.CLEAR
    print(f"clear in {clear} of {tries}")
    assert clear <= 6  # two standard errors above 5 % of 60


def test_a_decision_is_the_same_each_time() -> None:
    records = make_repeats("a", draw_steps(1, 6, 0.3, seed=1)) + make_repeats("b", draw_steps(1.1, 6, 0.3, seed=2))
    assert decide_on(records)[0] == decide_on(records)[0]


def test_every_measured_criterion_is_a_metric_of_every_synthetic_cell() -> None:
    _, candidates = decide_on(make_repeats("a", draw_steps(1)))
    assert candidates["a"].points.keys() == MEASURED.keys() | criteria.LOOKED_UP.keys()
