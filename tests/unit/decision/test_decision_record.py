"""The record of a decision, and `crossframe decide`."""

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from crossframe.harness.cli import program
from crossframe.harness.decision.criteria import USE_CASES
from crossframe.harness.decision.decision_formats import as_markdown
from crossframe.harness.decision.decision_record import build_decision
from crossframe.harness.decision.model import Verdict
from crossframe.harness.worker.states import State
from tests.support.synthetic import make_repeats, save_run
from tests.unit.decision.test_decide import FACTS, draw_steps, use_memory

HOSTILE = "it <script>alert(1)</script> | broke"
Decide = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    records = [
        *make_repeats("torch", draw_steps(1, seed=1), measurements=use_memory(2 * 10**8)),
        *make_repeats("jax", draw_steps(3, seed=2)),
        *make_repeats("mxnet", draw_steps(1), state=State.FAILED, reason=HOSTILE),
    ]
    return save_run(tmp_path / "run", records)


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
    assert record.startswith("# Decision: torch\n")
    assert "**clear**" in record
    headings = (
        *("Candidates", "Requirements", "Criteria", "Sensitivity to the weights"),
        *("Sources", "Judgements", "Scope", "Review"),
    )
    for heading in headings:
        assert f"\n## {heading}" in record, heading
    assert "Not covered:" in record
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
    assert "# Decision: jax\n" in record
    assert "licence is BSD-3-Clause" in record
    assert "- jax, licence: Apache-2.0 (2026-11-21, " in record


def test_wrong_arguments_are_usage(decide: Decide, run: Path, tmp_path: Path) -> None:
    weights = tmp_path / "weights.json"
    weights.write_text('{"speed": 1}')
    code, out, complaint = decide(run, "--criteria", weights)
    assert (code, out) == (2, "")
    assert "speed" in complaint
    assert decide(tmp_path / "nowhere")[0] == 2
    assert decide(run, "--require", "speed")[0] == 2
    assert decide(run, "--use-case", "gaming")[0] == 2


@pytest.mark.parametrize("name", USE_CASES)
def test_a_run_of_one_repeat_and_an_empty_run_have_a_record(tmp_path: Path, name: str) -> None:
    folder = save_run(tmp_path / "one", make_repeats("a", [1.0]) + make_repeats("b", [2.0]))
    record = build_decision(folder, FACTS, USE_CASES[name], [], date(2026, 11, 21))
    assert record.verdict == Verdict.NOT_ENOUGH_EVIDENCE
    assert "About 3 more repeats" in as_markdown(record)
    (folder / "records.jsonl").write_text("")
    record = build_decision(folder, FACTS, USE_CASES[name], [], date(2026, 11, 21))
    assert record.verdict == Verdict.NONE_FITS
    assert "no recommendation" in as_markdown(record)
    assert record.look_again == "2027-05-20"
