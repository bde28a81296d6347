"""Decisions from synthetic runs: every verdict, every limit, and what must hold whatever the figures are."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from crossframe.backends import discover
from crossframe.harness.cli import parser
from crossframe.harness.decision import candidates as candidacy
from crossframe.harness.decision import criteria, decide, decision_record
from crossframe.harness.decision.criteria import CRITERIA, MEASURED, PROFILES, Profile
from crossframe.harness.errors import Usage
from tests.support.synthetic import repeats, write_run

KNOWN = {"value": True, "date": "2026-11-21", "source": "a page"}
FACTS: dict[str, Any] = {name: dict.fromkeys(criteria.LOOKED_UP, KNOWN) for name in "abcdef"}
NO_ONNX = {"state": "unsupported", "reason": "no", "export_s": None, "onnx_bytes": None, "max_error": None}
SPEED = Profile("speed", {"train_samples_per_s": 1.0})


def steps(cost: float, n: int = 6, noise: float = 0.002, seed: int = 0) -> list[float]:
    return (cost * np.exp(noise * np.random.default_rng(seed).normal(size=n))).tolist()


def memory(peak_bytes: int) -> dict[str, int]:
    return {"host_peak_bytes": peak_bytes}


def reached(
    found: list[dict[str, Any]], profile: Profile = SPEED, require: tuple[str, ...] = (), facts: Any = FACTS
) -> tuple[dict[str, Any], dict[str, candidacy.Candidate]]:
    verdict, candidates = decide.decide(found, facts, profile, list(require))
    return verdict, {one.name: one for one in candidates}


def test_clear_where_one_is_first_whatever_the_doubt() -> None:
    even = Profile("even", {"train_samples_per_s": 4.0, "host_peak_bytes": 1.0})
    fast = repeats("a", steps(1, seed=1), measures=memory(110_000_000))
    verdict, candidates = reached(fast + repeats("b", steps(3, seed=2)), even)
    assert (verdict["verdict"], verdict["choice"]) == ("clear", ["a"])
    assert candidates["a"].first == 1 and candidates["b"].out is None  # b needs less memory: not dominated
    assert verdict["flips"][0]["to"] == "b"


def test_tie_where_two_are_equal() -> None:
    verdict, candidates = reached(repeats("a", steps(1, noise=0.1)) + repeats("b", steps(1, noise=0.1)))
    assert (verdict["verdict"], verdict["choice"]) == ("tie", ["a", "b"])
    assert candidates["a"].first == candidates["b"].first == 0.5


def test_depends_where_a_weight_turns_it() -> None:
    even = Profile("even", {"train_samples_per_s": 0.5, "host_peak_bytes": 0.5})
    fast = repeats("a", steps(1, seed=1), measures=memory(400_000_000))
    small = repeats("b", steps(3.6, seed=2), measures=memory(100_000_000))
    verdict, _ = reached(fast + small, even)
    assert (verdict["verdict"], set(verdict["choice"])) == ("depends", {"a", "b"})
    # b is 3.6 times as slow and needs a quarter: equal where log2(3.6) t = 2 (1 - t).
    speed = next(flip for flip in verdict["flips"] if flip["criterion"] == "train_samples_per_s")
    assert_allclose(speed["at"], 2 / (2 + np.log2(3.6)), atol=0.01)


def test_the_target_of_a_scaled_task_decides_nothing() -> None:
    late = {"measures": {"time_to_target_s": 1e6}, "cell": {"task": "circle-x16", "batch_size": 1024}}
    wide = repeats("a", steps(1), **late) + repeats("b", steps(1), cell=late["cell"])
    learning = Profile("learning", {"time_to_target_s": 1.0})
    plain = repeats("a", steps(1)) + repeats("b", steps(3))
    (verdict, candidates), (_, before) = reached(plain + wide, learning), reached(plain, learning)
    assert (verdict["verdict"], verdict["choice"]) == ("clear", ["a"])
    assert candidates["a"].plain["time_to_target_s"] == before["a"].plain["time_to_target_s"]
    assert candidates["a"].plain["train_samples_per_s"] != before["a"].plain["train_samples_per_s"]
    assert "time_to_target_s" not in reached(wide, learning)[1]["a"].plain


def test_not_enough_evidence_in_noise_says_how_many_more_runs() -> None:
    found = repeats("a", steps(1, 6, 0.4, seed=1)) + repeats("b", steps(1.05, 6, 0.4, seed=2))
    verdict, _ = reached(found)
    assert verdict["verdict"] == "not enough evidence" and verdict["choice"] == []
    assert verdict["more_runs"] > 10


def test_not_enough_evidence_from_one_repeat() -> None:
    verdict, candidates = reached(repeats("a", [1.0]) + repeats("b", [9.0]))
    assert verdict["verdict"] == "not enough evidence" and verdict["more_runs"] == 3
    assert candidates["a"].first is None and candidates["b"].out is None


def test_none_fits_where_limits_leave_nobody() -> None:
    verdict, candidates = reached(repeats("a", steps(1)) + repeats("b", steps(2)), require=("device=cuda",))
    assert verdict["verdict"] == "none fits"
    assert candidates["a"].out == "was not run on cuda"
    assert reached([])[0]["verdict"] == "none fits"


@pytest.mark.parametrize(
    "changed, require, reason",
    [
        ({"state": "failed", "reason": "it broke"}, (), "circle cpu float32 64: failed: 6 of 6 repeats: it broke"),
        ({"parity": None}, (), "circle cpu float32 64: not proven equal: parity was not checked"),
        ({"parity": {"state": "failed", "reason": "gates", "hint": None}}, (), "not proven equal: gates"),
        ({"verdict": {"onnx": NO_ONNX}}, ("exports",), "does not export circle to ONNX: no"),
        ({"measures": {"epochs": []}}, (), "has no train_samples_per_s in every workload"),
    ],
)
def test_who_does_not_meet_a_limit_is_out_with_a_reason(
    changed: dict[str, Any], require: tuple[str, ...], reason: str
) -> None:
    verdict, candidates = reached(repeats("a", steps(1), **changed) + repeats("b", steps(2)), require=require)
    assert reason in str(candidates["a"].out)
    assert verdict["choice"] == ["b"]


def test_facts_are_limits_too() -> None:
    found = repeats("a", steps(1)) + repeats("b", steps(2)) + repeats("c", steps(3))
    licensed = {"value": "Apache-2.0", "date": "2026-11-21", "source": "a page"}
    facts = {"a": {"maintained": {**KNOWN, "value": False}}, "b": {"maintained": KNOWN, "licence": licensed}}
    verdict, candidates = reached(found, require=("maintained", "licence=MIT|Apache-2.0"), facts=facts)
    assert verdict["choice"] == ["b"]
    assert candidates["a"].out == "maintained is no"
    assert candidates["c"].out == "unknown whether maintained"
    _, candidates = reached(found, require=("licence=MIT",), facts=facts)
    assert candidates["b"].out == "licence is Apache-2.0"


@pytest.mark.parametrize("requirement", ["maintaned", "device", "licence="])
def test_an_unknown_requirement_is_an_error(requirement: str) -> None:
    with pytest.raises(Usage, match="--require"):
        reached(repeats("a", steps(1)), require=(requirement,))


def test_a_backend_without_one_of_the_workloads_is_out() -> None:
    found = repeats("a", steps(1)) + repeats("b", steps(2)) + repeats("b", steps(2), cell={"batch_size": 8})
    assert reached(found)[1]["a"].out == "circle cpu float32 8: not in this run"


def test_a_backend_stands_with_its_fastest_proven_mode() -> None:
    fast = repeats("a", steps(1), cell={"mode": "fast"})
    wrong = repeats("a", steps(0.1), cell={"mode": "wrong"}, parity={"state": "failed", "reason": "x", "hint": None})
    _, candidates = reached(fast + wrong + repeats("a", steps(5)) + repeats("b", steps(2)))
    assert [cell["mode"] for cell in candidates["a"].cells] == ["fast"]


def test_what_is_unknown_of_both_parts_nobody_and_of_one_is_doubt() -> None:
    facts_alone = Profile("facts", {"maintained": 1.0})
    found = repeats("a", steps(1)) + repeats("b", steps(1))
    assert reached(found, facts_alone, facts={})[0]["verdict"] == "tie"
    half = {"a": FACTS["a"]}
    _, candidates = reached(found, facts_alone, facts=half)
    assert candidates["b"].plain["maintained"] == 0.5 and candidates["b"].drawn["maintained"].std() > 0.2


weights_drawn = st.fixed_dictionaries({name: st.floats(0, 10) for name in CRITERIA}).filter(
    lambda weights: sum(weights.values()) > 0.1
)
# Speed against memory within a factor of eight, so that scores lie close enough to be reordered.
costs = st.lists(st.tuples(st.floats(1, 8), st.integers(10**8, 8 * 10**8)), min_size=3, max_size=5)
two_weights = st.fixed_dictionaries({"train_samples_per_s": st.floats(0.1, 1), "host_peak_bytes": st.floats(0.1, 1)})


def order(found: list[dict[str, Any]], weights: dict[str, float]) -> list[str]:
    """Candidates by their score without noise and doubt."""
    known = candidacy.candidates(found, FACTS)
    return [
        one.name
        for one in sorted(known, key=lambda one: -sum(w * one.plain[name] for name, w in weights.items()))
    ]  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(costs, two_weights, st.data())
def test_adding_or_removing_a_candidate_reorders_nobody(
    drawn: list[tuple[float, int]], weights: dict[str, float], data: st.DataObject
) -> None:
    runs = {
        name: repeats(name, steps(cost, seed=place), measures=memory(peak))
        for place, (name, (cost, peak)) in enumerate(zip("abcdef", drawn))
    }
    gone = data.draw(st.sampled_from(sorted(runs)))
    whole = order([one for own in runs.values() for one in own], weights)
    rest = order([one for name, own in runs.items() for one in own if name != gone], weights)
    assert [name for name in whole if name != gone] == rest


@settings(max_examples=25, deadline=None)
@given(st.integers(4, 9), st.floats(0, 0.5), weights_drawn)
def test_two_equal_candidates_always_tie(n: int, noise: float, weights: dict[str, float]) -> None:
    same = steps(1, n, noise)
    verdict, _ = reached(repeats("a", same) + repeats("b", same), Profile("drawn", weights))
    assert (verdict["verdict"], verdict["choice"]) == ("tie", ["a", "b"])


@settings(max_examples=25, deadline=None)
@given(st.floats(1.5, 20), weights_drawn)
def test_who_is_worse_in_everything_is_recommended_for_no_weights(factor: float, weights: dict[str, float]) -> None:
    onnx = {"state": "ok", "reason": None, "export_s": 0.5, "onnx_bytes": 9000, "max_error": 1e-7}
    worse = repeats(
        "a",
        steps(factor, 6, seed=1),
        measures={"import_s": 1.0 * factor, "host_peak_bytes": int(1e8 * factor), "infer_many_samples_s": [factor] * 3},
        verdict={"onnx": onnx},
    )
    verdict, candidates = reached(worse + repeats("b", steps(1, 6, seed=2)), Profile("drawn", weights))
    assert verdict["choice"] == ["b"]
    assert candidates["a"].out == "b is better in everything, beyond the noise"


def test_who_is_better_in_all_that_is_measured_but_not_in_a_fact_beats_nobody() -> None:
    onnx = {"state": "ok", "reason": None, "export_s": 0.5, "onnx_bytes": 9000, "max_error": 1e-7}
    worse = {"measures": {"import_s": 2.0, "host_peak_bytes": 2 * 10**8}, "verdict": {"onnx": onnx}}
    found = repeats("a", steps(1)) + repeats("b", steps(2), **worse)
    beaten = "a is better in everything, beyond the noise"
    assert reached(found)[1]["b"].out == beaten
    retired = {"a": FACTS["a"] | {"maintained": {**KNOWN, "value": False}}, "b": FACTS["b"]}
    assert reached(found, facts=retired)[1]["b"].out is None
    assert reached(found, facts={})[1]["b"].out == beaten  # unknown of both is no difference


@pytest.mark.parametrize("noise, profile", [(0.03, SPEED), (0.1, PROFILES["research"])], ids=["speed", "research"])
def test_a_verdict_is_rarely_clear_where_nothing_differs(noise: float, profile: Profile) -> None:
    generator, tries = np.random.default_rng(0), 60
    clear = 0
    for _ in range(tries):
        found = [repeats(name, np.exp(noise * generator.normal(size=8)).tolist()) for name in "abc"]
        clear += reached([one for own in found for one in own], profile)[0]["verdict"] == "clear"
    print(f"clear in {clear} of {tries}")
    assert clear <= 6  # two standard errors above 5 % of 60


def test_a_verdict_is_the_same_each_time() -> None:
    found = repeats("a", steps(1, 6, 0.3, seed=1)) + repeats("b", steps(1.1, 6, 0.3, seed=2))
    first, second = (reached(found) for _ in range(2))
    assert first[0] == second[0] and first[1]["a"].first == second[1]["a"].first


def test_profiles_weigh_what_there_is() -> None:
    for profile in PROFILES.values():
        assert profile.weights.keys() <= CRITERIA.keys() and sum(profile.weights.values()) > 0
        candidacy.check_requirements(list(profile.require), {})


def test_facts_of_our_backends_have_value_date_and_source() -> None:
    seen = 0
    for backend in discover().values():
        for name, fact in backend.facts.get("facts", {}).items():
            assert fact.keys() - {"note"} == {"value", "date", "source"}, f"{backend.name} {name}"
            assert date.fromisoformat(fact["date"]) and fact["source"]
            assert isinstance(fact["value"], bool if name in criteria.LOOKED_UP else str), f"{backend.name} {name}"
            seen += 1
    assert seen > 20


@pytest.mark.parametrize(
    "text, complaint",
    [
        ("{", "is not JSON"),
        ("[1]", "is not one object"),
        (json.dumps(dict.fromkeys(CRITERIA, 1) | {"speed": 1}), "weighs speed, which is no criterion"),
        (json.dumps({"maintained": 1}), "has no weight for distributed, edge"),
        (json.dumps(dict.fromkeys(CRITERIA, 1) | {"edge": -1}), "the weight of edge is -1"),
        (json.dumps(dict.fromkeys(CRITERIA, 1) | {"edge": True}), "the weight of edge is true"),
        (json.dumps(dict.fromkeys(CRITERIA, 1) | {"edge": float("nan")}), "the weight of edge is NaN"),
        (json.dumps(dict.fromkeys(CRITERIA, 0)), "all weights are 0"),
    ],
)
def test_a_weight_file_that_is_off_is_an_error(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "weights.json"
    path.write_text(text)
    with pytest.raises(Usage, match=complaint):
        criteria.read_weights(path)


def test_the_command_prints_a_record_and_refuses_bad_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def crossframe(*words: object) -> tuple[int, str, str]:
        return (parser.main(["decide", *map(str, words)]), *capsys.readouterr())

    hostile = "it <script>alert(1)</script> | broke"
    found = repeats("torch", steps(1, seed=1), measures=memory(2 * 10**8)) + repeats("jax", steps(3, seed=2))
    run = write_run(tmp_path / "run", found + repeats("mxnet", steps(1), state="failed", reason=hostile))
    code, record, _ = crossframe(run)
    assert code == 0 and record.startswith("# Decision: torch\n") and "**clear**" in record
    for heading in ("Candidates", "Limits", "Criteria", "Where it flips", "Sources", "Judged", "Scope", "Look again"):
        assert f"\n## {heading}" in record, heading
    assert "It says nothing about" in record and "<script>" not in record
    told = json.loads(crossframe(run, "--profile", "production", "--format", "json")[1])
    assert told["verdict"] == "clear" and told["require"] == ["maintained", "exports"]
    record = crossframe(run, "--require", "licence=Apache-2.0")[1]
    assert "# Decision: jax\n" in record and "licence is BSD-3-Clause" in record
    assert "- jax, licence: Apache-2.0 (2026-11-21, " in record
    marks = {value["kind"] for one in told["candidates"] for value in one["values"].values()}
    assert marks == {"measured", "looked up"}
    bad = tmp_path / "weights.json"
    bad.write_text('{"speed": 1}')
    code, out, complaint = crossframe(run, "--weights", bad)
    assert code == 2 and "speed" in complaint and out == ""
    assert crossframe(tmp_path / "nowhere")[0] == crossframe(run, "--require", "speed")[0] == 2


@pytest.mark.parametrize("name", PROFILES)
def test_a_record_of_an_empty_run_and_of_one_repeat_is_no_crash(tmp_path: Path, name: str) -> None:
    one = write_run(tmp_path / "one", repeats("a", [1.0]) + repeats("b", [2.0]))
    told = decision_record.document(one, FACTS, PROFILES[name], [], date(2026, 11, 21))
    assert told["verdict"] == "not enough evidence"
    assert "about 3 more" in decision_record.as_markdown(told).lower()
    (one / "records.jsonl").write_text("")
    told = decision_record.document(one, FACTS, PROFILES[name], [], date(2026, 11, 21))
    assert told["verdict"] == "none fits" and "no recommendation" in decision_record.as_markdown(told)


def test_every_measured_criterion_is_a_figure_of_every_synthetic_cell() -> None:
    _, candidates = reached(repeats("a", steps(1)))
    assert candidates["a"].plain.keys() == MEASURED.keys() | criteria.LOOKED_UP.keys()
