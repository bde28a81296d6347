"""Where a step's time goes: each framework's own profiler, asked through the command line, and what shows it."""

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from crossframe.backends import discover
from crossframe.harness.analysis import operators
from crossframe.harness.records import store
from crossframe.harness.run import folder as folders
from crossframe.harness.worker import profiling, train
from tests.conftest import Command
from tests.support.synthetic import record, write_run

CANDIDATES = [name for name, backend in discover().items() if backend.has_builds]
# What each calls the operators of a matrix product.
MATRIX_PRODUCT = {"torch": r"aten::(add)?mm$", "tensorflow": "MatMul", "mxnet": "FullyConnected", "jax": r"\bdot"}
# The operators' time is at least this share of the fastest step, and at most so many times the mean one. A wrong unit
# is a factor of a thousand, and what a busy machine does to some steps is in their mean.
AT_LEAST, AT_MOST = 0.01, 10
QUICK = ("--no-parity", "--task", "circle", "--preset", "quick")
ROWS = [{"name": "a|b", "calls": 40, "self_s": 0.03}, {"name": profiling.OTHERS, "calls": 400, "self_s": 0.01}]
PROFILE = {"state": "ok", "reason": None, "steps": 20, "rows": ROWS}


@pytest.fixture(scope="session")
def profiled_run(crossframe: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("profiled") / "run"
    done = crossframe("run", *QUICK, "--profile", "--out", folder)
    assert done.returncode == 0, done.stderr
    (folder / "stdout.txt").write_text(done.stdout)
    return folder


def told(run: Path, backend: str) -> dict[str, Any]:
    (found,) = [r for r in store.read(run)[0] if r["cell"]["backend"] == backend]
    assert found["state"] == "ok", found["reason"]
    return found["measures"]


@pytest.mark.parametrize("backend", CANDIDATES)
def test_a_framework_says_where_the_time_of_its_steps_goes(profiled_run: Path, backend: str) -> None:
    measures = told(profiled_run, backend)
    found = measures["operators"]
    assert found["state"] == "ok" and found["steps"] == profiling.STEPS, found
    rows = found["rows"]
    assert 5 <= len(rows) <= profiling.KEPT + 1
    assert all(row["calls"] > 0 and row["self_s"] >= 0 for row in rows)
    names = [row["name"] for row in rows]
    assert len(set(names)) == len(names)
    assert any(re.search(MATRIX_PRODUCT[backend], name) for name in names), names
    step_s = sum(row["self_s"] for row in rows) / found["steps"]
    samples, epochs = measures["step_samples_s"], measures["epochs"]
    taken_s = sum(samples) + sum(epoch["train_s"] for epoch in epochs)
    mean_s = taken_s / (len(samples) + sum(epoch["steps"] for epoch in epochs))
    assert AT_LEAST * min(samples) < step_s < AT_MOST * mean_s


def test_it_is_shown_in_table_markdown_and_json(profiled_run: Path, crossframe: Command) -> None:
    report = json.loads(crossframe("report", profiled_run, "--format", "json").stdout)
    markdown = crossframe("report", profiled_run, "--format", "md").stdout
    table = (profiled_run / "stdout.txt").read_text()
    assert {cell["backend"] for cell in report["cells"]} == set(CANDIDATES)
    for cell in report["cells"]:
        rows = operators.rows(cell)
        assert sum(row["share"] for row in rows) == pytest.approx(1)
        assert f"circle {cell['backend']} {cell['mode']}: " in table
        assert re.search(rf"\| circle \| {cell['backend']} \| .*{re.escape(rows[0]['name'][:20])}", markdown)


def test_a_run_resumes_with_the_profile_that_was_asked_for(profiled_run: Path) -> None:
    asked = store.read_run(profiled_run)
    assert folders.resumed(asked).options["profile"] is True
    del asked["options"]["profile"]  # as a run from before it was there
    assert folders.resumed(asked).options["profile"] is False


@pytest.mark.parametrize(
    "fault, state, reason",
    [
        (None, "ok", None),
        ("refuses", "unsupported", "the planted refusal"),
        ("raises", "failed", "RuntimeError: the planted error"),
        ("crashes", "failed", "the process ended within the profiler"),
        ("negative", "failed", "calls and seconds of 0 or more"),
    ],
)
def test_a_profiler_that_fails_leaves_the_job_as_it_is(
    crossframe: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: str | None,
    state: str,
    reason: str | None,
) -> None:
    monkeypatch.setenv("FAULTY_PROFILER", fault or "")
    run = tmp_path / "run"
    done = crossframe("run", *QUICK, "--backend", "faulty", "--mode", "honest", "--profile", "--out", run)
    assert done.returncode == 0, done.stderr
    found = told(run, "faulty")["operators"]
    assert found["state"] == state and bool(found["rows"]) == (state == "ok")
    if reason:
        assert reason in found["reason"]
        assert f"circle faulty honest: no profile: {state}" in done.stdout


def test_a_backend_without_the_method_is_unsupported() -> None:
    data = {"order": [[[0]]], "x_train": np.zeros((1, 2)), "y_train": np.zeros(1)}
    found = train.profile(SimpleNamespace(put=lambda x, y: (x, y)), data)
    assert found["state"] == "unsupported" and "no method `profile`" in found["reason"]


def test_nothing_is_there_unasked(faulty_run: Path, crossframe: Command) -> None:
    assert all("operators" not in r["measures"] for r in store.read(faulty_run)[0])
    report = json.loads(crossframe("report", faulty_run, "--format", "json").stdout)
    assert [cell["operators"] for cell in report["cells"]] == [None] * len(report["cells"])
    shown = crossframe("report", faulty_run).stdout + crossframe("report", faulty_run, "--format", "md").stdout
    assert "a step" not in shown and "profile" not in shown


def test_a_profiler_that_saw_nothing_is_not_ok() -> None:
    with pytest.raises(ValueError, match="saw no operator"):
        profiling.strongest([])


def test_the_longest_have_rows_of_their_own_and_the_others_one() -> None:
    found = profiling.strongest([(f"o{number}", 2, 1.0 + number) for number in range(30)])
    assert len(found) == profiling.KEPT + 1 and found[0] == {"name": "o29", "calls": 2, "self_s": 30.0}
    assert found[-1] == {"name": profiling.OTHERS, "calls": 20, "self_s": sum(range(1, 11))}


def test_a_cell_shows_its_first_repeat(tmp_path: Path, crossframe: Command) -> None:
    later = {**PROFILE, "rows": [{"name": "later", "calls": 1, "self_s": 1.0}]}
    run = write_run(
        tmp_path,
        [
            record("torch", 2, 0.01, measures={"operators": later}),
            record("torch", 1, 0.01, measures={"operators": PROFILE}),
            record("jax", 1, 0.01),
        ],
    )
    report = json.loads(crossframe("report", run, "--format", "json").stdout)
    assert {cell["backend"]: cell["operators"] for cell in report["cells"]} == {"torch": PROFILE, "jax": None}
    shown = crossframe("report", run).stdout
    assert "circle torch eager: 2 ms of operators a step, in the profiler: 75% a|b\n" in shown
    markdown = crossframe("report", run, "--format", "md").stdout
    assert "| circle | torch | eager | a\\|b | 2 | 1.5000 | 75.0% |\n" in markdown
