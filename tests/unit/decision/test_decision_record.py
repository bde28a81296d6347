"""The record of a decision, and `crossframe decide`."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from crossframe.harness.cli import program
from crossframe.harness.decision.consequences import Consequence
from crossframe.harness.decision.criteria import USE_CASES
from crossframe.harness.decision.decision_formats import as_markdown
from crossframe.harness.decision.decision_record import build_decision
from crossframe.harness.decision.model import Verdict
from crossframe.harness.records import store
from crossframe.harness.records.model import Host
from crossframe.harness.worker.states import State
from tests.support.pages import make_backend
from tests.support.synthetic import make_repeats, save_run
from tests.unit.decision.test_decide import FACTS, KNOWN, SPEED, draw_steps, use_memory

HOSTILE = "it <script>alert(1)</script> | broke"
TITLES = {"torch": "PyTorch", "jax": "JAX", "mxnet": "MXNet"}
THROUGHPUT = "training throughput, samples/s"
Decide = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    records = [
        *make_repeats("torch", draw_steps(1, seed=1), measurements=use_memory(2 * 10**8)),
        *make_repeats("jax", draw_steps(3, seed=2)),
        *make_repeats("mxnet", draw_steps(1), state=State.FAILED, reason=HOSTILE),
    ]
    return save_run(tmp_path / "run", records, TITLES)


@pytest.fixture
def decide(capsys: pytest.CaptureFixture[str]) -> Decide:
    """Return a function that runs `crossframe decide`: exit code, stdout and stderr."""

    def run_decide(*arguments: object) -> tuple[int, str, str]:
        code = program.main(["decide", *map(str, arguments)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_decide


def test_the_record_has_all_sections_and_no_markup(decide: Decide, run: Path) -> None:
    code, record, _ = decide(run)
    assert code == 0
    assert record.startswith("# Decision: PyTorch\n")
    assert "**clear**" in record
    headings = (
        *("Candidates", "Requirements", "Criteria", "Sensitivity to the weights", "Consequences"),
        *("Cost of switching", "Not measured", "Judgements", "Sources", "Signatures"),
    )
    for heading in headings:
        assert f"\n## {heading}" in record, heading
    assert "<script>" not in record
    assert "excluded: circle cpu float32 64: failed" in record


def test_a_use_case_brings_its_requirements(decide: Decide, run: Path) -> None:
    record = json.loads(decide(run, "--use-case", "production", "--format", "json")[1])
    assert record["verdict"] == "clear"
    assert record["requirements"] == ["maintained", "exports"]
    kinds = {value["kind"] for candidate in record["candidates"] for value in candidate["values"].values()}
    assert kinds == {"measured", "looked up"}


def test_a_required_fact_is_quoted_with_its_source(decide: Decide, run: Path) -> None:
    record = decide(run, "--require", "licence=Apache-2.0")[1]
    assert "# Decision: JAX\n" in record
    assert "licence is BSD-3-Clause" in record
    assert "- JAX, licence: Apache-2.0 (2026-11-21, " in record


def test_wrong_arguments_are_usage(decide: Decide, run: Path, tmp_path: Path) -> None:
    weights = tmp_path / "weights.json"
    weights.write_text('{"speed": 1}')
    code, out, complaint = decide(run, "--criteria", weights)
    assert (code, out) == (2, "")
    assert "speed" in complaint
    assert decide(tmp_path / "nowhere")[0] == 2
    assert decide(run, "--require", "speed")[0] == 2
    assert decide(run, "--use-case", "gaming")[0] == 2


def test_a_team_can_sign_it(tmp_path: Path, run: Path, decide: Decide) -> None:
    info = replace(
        store.read_run(run),
        commit="abc123",
        host=Host("a CPU", 8, [0, 1], None, 16 * 10**9, "6.1", "Debian", "3.11", []),
    )
    store.write_run(run, info)
    record = decide(run)[1]
    for line in (
        "| status | proposed, until it is signed below |",
        "| owner | (to be filled in) |",
        f"| expires | {date.today() + timedelta(days=180)}, or earlier",
        "| machine | a CPU, 2 of 8 processors, 16 GB, no GPU, Debian, kernel 6.1 |",
        "| Crossframe | 0.1.0, commit abc123, Python 3.11 |",
        "| owner |  |  |  |",
        "- PyTorch (`torch`, torch 1.0): 6 repeats (circle eager)",
    ):
        assert f"\n{line}" in record, line


def test_people_read_titles_and_programs_names(decide: Decide, run: Path) -> None:
    prose = re.sub(r"`.*?`|https?://\S+", "", decide(run)[1])
    assert re.findall(r"\b(?:torch|jax|mxnet)\b(?! 1\.0)", prose.partition("## Sources")[0]) == []  # but versions
    record = json.loads(decide(run, "--format", "json")[1])
    assert (record["choice"], record["reference"]) == (["torch"], "torch")
    assert {candidate["name"]: candidate["title"] for candidate in record["candidates"]} == TITLES
    assert record["flips"][0]["to"] in TITLES


def test_values_are_absolute_and_relative_to_the_leader(tmp_path: Path, decide: Decide) -> None:
    fast = make_repeats("torch", draw_steps(0.01, noise=0), measurements=use_memory(4 * 10**8))
    slow = make_repeats("jax", draw_steps(0.03, noise=0), measurements=use_memory(2 * 10**8))
    run = save_run(tmp_path / "run", fast + slow, TITLES)
    record = decide(run)[1]
    # 64 samples in a step of 10 ms and of 30 ms
    assert f"| {THROUGHPUT} | 40% | 2,133 (0.33x) | 6,400 (1.00x) |" in record
    assert "| peak memory, MB | 10% | 200 (2.00x) | 400 (1.00x) |" in record
    assert "ratio to PyTorch, which leads at these weights" in record
    assert "- PyTorch gains: training throughput (3.00x better than JAX)" in record
    assert "- PyTorch gives up: peak memory (JAX is 2.00x better)\n" in record
    assert "## Workloads" not in record  # one workload, whose values stand in the table of criteria


def test_several_workloads_have_their_own_values(tmp_path: Path, decide: Decide) -> None:
    records = [
        record
        for size, cost in ((64, 0.01), (8, 0.02))
        for name, factor in (("torch", 1), ("jax", 3))
        for record in make_repeats(name, draw_steps(cost * factor, noise=0), cell={"batch_size": size})
    ]
    record = decide(save_run(tmp_path / "run", records, TITLES))[1]
    assert f"| circle, batch 64 | {THROUGHPUT} | 2,133 (0.33x) | 6,400 (1.00x) |" in record
    assert f"| circle, batch 8 | {THROUGHPUT} | 133 (0.33x) | 400 (1.00x) |" in record
    assert "\nAll: float32, cpu.\n" in record
    # the geometric means of the two
    assert "| 40% | 533 (0.33x) | 1,600 (1.00x) |" in record


def test_what_was_not_measured_is_listed(decide: Decide, run: Path) -> None:
    record = decide(run)[1]
    lines = record.partition("## Not measured")[2].partition("##")[0].splitlines()
    assert "- GPUs: every cell ran on cpu" in lines
    assert any(
        line.startswith("- modes of PyTorch: compile, max-autotune; reduce-overhead (can't run") for line in lines
    )
    assert "- tasks other than circle (65 parameters), and larger networks" in lines
    assert "- batch sizes other than 64" in lines
    assert any("portability" in line for line in lines)


def test_a_tie_gives_up_nothing(tmp_path: Path) -> None:
    steps = draw_steps(1)
    folder = save_run(
        tmp_path / "run", make_repeats("a", steps) + make_repeats("b", steps), {"a": "Alpha", "b": "Beta"}
    )
    record = build_decision(folder, {}, USE_CASES["research"], [], date(2026, 11, 21))
    assert (record.verdict, record.consequences) == (Verdict.TIE, [])
    text = as_markdown(record)
    assert text.startswith("# Decision: Alpha or Beta\n")
    assert "- Beta gives up: nothing beyond 5 %" in text


def test_a_missing_fact_of_the_choice_is_given_up(tmp_path: Path) -> None:
    no = replace(KNOWN, value=False)
    backends = {
        name: make_backend(tmp_path / name, name, facts)
        for name, facts in (("a", {"edge": no}), ("b", {"edge": KNOWN}))
    }
    records = make_repeats("a", draw_steps(1)) + make_repeats("b", draw_steps(3))
    record = build_decision(save_run(tmp_path / "run", records), backends, SPEED, [], date(2026, 11, 21))
    assert record.choice == ["a"]
    assert Consequence("a", "edge", "b", None) in record.consequences
    assert "a path to phones and small devices (b does)" in as_markdown(record)
    assert [candidate.switching.backend_lines for candidate in record.candidates] == [10, 10]


@pytest.mark.parametrize("name", USE_CASES)
def test_a_run_of_one_repeat_and_an_empty_run_have_a_record(tmp_path: Path, name: str) -> None:
    backends = {each: make_backend(tmp_path / each, each, FACTS[each]) for each in "ab"}
    folder = save_run(tmp_path / "one", make_repeats("a", [1.0]) + make_repeats("b", [2.0]))
    record = build_decision(folder, backends, USE_CASES[name], [], date(2026, 11, 21))
    assert record.verdict == Verdict.NOT_ENOUGH_EVIDENCE
    assert "About 3 more repeats" in as_markdown(record)
    (folder / "records.jsonl").write_text("")
    record = build_decision(folder, backends, USE_CASES[name], [], date(2026, 11, 21))
    assert record.verdict == Verdict.NONE_FITS
    assert "no recommendation" in as_markdown(record)
    assert record.expires == "2027-05-20"
