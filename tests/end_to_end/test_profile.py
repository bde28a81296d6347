"""Profiles in the records and reports: failures of a profiler, runs without profiles, and repeats."""

import json
from pathlib import Path

import pytest

from crossframe.harness.records import store
from crossframe.harness.worker.measurements import OperatorProfile, OperatorTime
from crossframe.harness.worker.profiling import OTHERS
from crossframe.harness.worker.states import State
from tests.conftest import Command
from tests.support.synthetic import make_record, save_run

PROFILE = OperatorProfile(State.OK, None, 20, [OperatorTime("a|b", 40, 0.03), OperatorTime(OTHERS, 400, 0.01)])


@pytest.mark.parametrize(
    ("fault", "state", "reason"),
    [
        (None, State.OK, None),
        ("refuses", State.UNSUPPORTED, "the planted refusal"),
        ("raises", State.FAILED, "RuntimeError: the planted error"),
        ("crashes", State.FAILED, "the process ended within the profiler"),
        ("negative", State.FAILED, "calls and seconds of 0 or more"),
    ],
)
def test_a_profiler_that_fails_does_not_affect_the_job(
    crossframe: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: str | None,
    state: State,
    reason: str | None,
) -> None:
    monkeypatch.setenv("FAULTY_PROFILER", fault or "")
    words = ("--no-parity", "--task", "circle", "--preset", "quick", "--backend", "faulty", "--mode", "honest")
    done = crossframe("run", *words, "--profile-operators", "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    (record,) = store.read(tmp_path / "run")[0]
    assert record.state == State.OK
    profile = record.measurements.operators
    assert profile is not None
    assert profile.state == state
    assert bool(profile.rows) == (state == State.OK)
    if reason:
        assert reason in str(profile.reason)
        assert f"circle A backend that fails in every way honest: no profile: {state}" in " ".join(done.stdout.split())


def test_a_run_without_profiles_does_not_mention_them(faulty_run: Path, crossframe: Command) -> None:
    assert all(record.measurements.operators is None for record in store.read(faulty_run)[0])
    report = json.loads(crossframe("report", faulty_run, "--format", "json").stdout)
    assert [cell["operators"] for cell in report["cells"]] == [None] * len(report["cells"])
    text = crossframe("report", faulty_run).stdout + crossframe("report", faulty_run, "--format", "md").stdout
    assert "a step" not in text
    assert "profile" not in text


def test_a_cell_reports_the_profile_of_its_first_repeat(tmp_path: Path, crossframe: Command) -> None:
    later = OperatorProfile(State.OK, None, 20, [OperatorTime("later", 1, 1.0)])
    records = [
        make_record("torch", 2, 0.01, measurements={"operators": later}),
        make_record("torch", 1, 0.01, measurements={"operators": PROFILE}),
        make_record("jax", 1, 0.01),
    ]
    run = save_run(tmp_path, records)
    report = json.loads(crossframe("report", run, "--format", "json").stdout)
    profiles = {cell["backend"]: cell["operators"] for cell in report["cells"]}
    assert profiles["jax"] is None
    assert [row["name"] for row in profiles["torch"]["rows"]] == ["a|b", OTHERS]
    table = crossframe("report", run).stdout
    assert "circle torch eager: 2 ms of operators a step, in the profiler: 75% a|b\n" in table
    markdown = crossframe("report", run, "--format", "md").stdout
    assert "| circle | torch | eager | a\\|b | 2 | 1.5000 | 75.0% |\n" in markdown
