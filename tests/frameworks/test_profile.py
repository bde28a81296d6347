"""Profiles of the frameworks' own profilers, requested on the command line."""

import json
import re
from pathlib import Path

import pytest

from crossframe.backends import discover
from crossframe.harness.records import store
from crossframe.harness.run.folder import resume_plan
from crossframe.harness.worker.measurements import TrainMeasurements
from crossframe.harness.worker.profiling import LISTED, STEPS
from crossframe.harness.worker.states import State
from tests.conftest import Command

BACKENDS = [name for name, backend in discover().items() if backend.has_builds]
# Backend -> the name of the operator of a matrix product.
MATRIX_PRODUCT = {"torch": r"aten::(add)?mm$", "tensorflow": "MatMul", "mxnet": "FullyConnected", "jax": r"\bdot"}
# The time of the operators is at least this share of the fastest step, and at most so many times the mean one. A wrong
# unit is a factor of a thousand, and disturbances of some steps by a busy machine are part of the mean.
AT_LEAST, AT_MOST = 0.01, 10


@pytest.fixture(scope="session")
def profiled_run(crossframe: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run of all frameworks with profiles; its table is in `stdout.txt`."""
    folder = tmp_path_factory.mktemp("profiled") / "run"
    words = ("--no-parity", "--task", "circle", "--preset", "quick", "--profile-operators")
    done = crossframe("run", *words, "--out", folder)
    assert done.returncode == 0, done.stderr
    (folder / "stdout.txt").write_text(done.stdout)
    return folder


def read_measurements(run: Path, backend: str) -> TrainMeasurements:
    """Return the measurements of the only record of a backend."""
    (record,) = [record for record in store.read(run)[0] if record.cell.backend == backend]
    assert record.state == State.OK, record.reason
    return record.measurements


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_profile_covers_the_time_of_the_steps(profiled_run: Path, backend: str) -> None:
    measurements = read_measurements(profiled_run, backend)
    profile, samples_s = measurements.operators, measurements.step_samples_s
    assert profile is not None
    assert samples_s is not None
    assert profile.state == State.OK, profile.reason
    assert profile.steps == STEPS
    assert 5 <= len(profile.rows) <= LISTED + 1
    assert all(row.calls > 0 and row.self_s >= 0 for row in profile.rows)
    names = [row.name for row in profile.rows]
    assert len(set(names)) == len(names)
    assert any(re.search(MATRIX_PRODUCT[backend], name) for name in names), names
    step_s = sum(row.self_s for row in profile.rows) / profile.steps
    total_s = sum(samples_s) + sum(epoch.train_s for epoch in measurements.epochs)
    mean_s = total_s / (len(samples_s) + sum(epoch.steps for epoch in measurements.epochs))
    assert AT_LEAST * min(samples_s) < step_s < AT_MOST * mean_s


def test_profiles_are_part_of_table_markdown_and_json(profiled_run: Path, crossframe: Command) -> None:
    report = json.loads(crossframe("report", profiled_run, "--format", "json").stdout)
    markdown = crossframe("report", profiled_run, "--format", "md").stdout
    table = (profiled_run / "stdout.txt").read_text()
    titles = {profile["backend"]: profile["title"] for profile in report["profiles"]}
    assert {cell["backend"] for cell in report["cells"]} == set(BACKENDS)
    for cell in report["cells"]:
        first = cell["operators"]["rows"][0]["name"]
        assert f"circle {titles[cell['backend']]} {cell['mode']}: " in table
        assert re.search(rf"\| circle \| {titles[cell['backend']]} \| .*{re.escape(first[:20])}", markdown)


def test_a_resumed_run_keeps_the_request_for_profiles(profiled_run: Path) -> None:
    assert resume_plan(store.read_run(profiled_run)).options.profile_operators is True
