"""The launch of a job: its folder, its variables, and one state for every way in which it can end."""

import json
from pathlib import Path

import pytest

from crossframe.backends import Plugin
from crossframe.backends.contract import Precision
from crossframe.backends.manifest import EnvironmentManifest
from crossframe.harness.launch.launch import Outcome, launch
from crossframe.harness.worker.jobs import CeilingJob
from crossframe.harness.worker.measurements import CeilingMeasurements
from crossframe.harness.worker.states import State

JOB = CeilingJob(cpus=[0], module="any", packages=[], mode="any", device="cpu", precision=Precision.FLOAT32)


def launch_script(folder: Path, script: str, **env_vars: str) -> Outcome[CeilingMeasurements]:
    """Launch a job with a shell script in the place of the interpreter."""
    python = folder / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    manifest = EnvironmentManifest(title="any", packages=("numpy",), env_vars=env_vars)
    return launch(python, Plugin("any", "any", folder / "any", manifest), JOB, folder / "job", 60)


def test_each_job_has_a_scratch_folder_that_is_deleted_afterwards(tmp_path: Path) -> None:
    script = 'echo "$SCRATCH for $THREADS" > seen\nmkdir "$SCRATCH/compiled" && echo code > "$SCRATCH/compiled/code"'
    paths = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        outcome = launch_script(tmp_path / name, script, SCRATCH="{scratch}/", THREADS="{threads}")
        assert outcome.state == State.FAILED
        assert "no measures" in str(outcome.reason)
        path, _, threads = (tmp_path / name / "job" / "seen").read_text().partition(" for ")
        assert threads == "1\n"
        assert not Path(path).exists()
        assert sorted(path.name for path in (tmp_path / name / "job").iterdir()) == ["job.json", "log.txt", "seen"]
        paths.append(path)
    assert paths[0] != paths[1]


def test_the_command_names_the_kind_and_the_folder(tmp_path: Path) -> None:
    launch_script(tmp_path, 'echo "$@" > arguments')
    arguments = (tmp_path / "job" / "arguments").read_text().split()
    assert arguments == ["-m", "crossframe.harness.worker", "ceiling", str(tmp_path / "job")]


@pytest.mark.parametrize(
    ("document", "state", "reason", "measurements"),
    [
        (
            {"state": "ok", "reason": None, "flops_per_s": 5, "bytes_per_s": 2.5},
            State.OK,
            None,
            CeilingMeasurements(5.0, 2.5),
        ),
        (
            {"state": "failed", "reason": "an error", "flops_per_s": 5.0},
            State.FAILED,
            "an error",
            CeilingMeasurements(5.0),
        ),
        (
            {"state": "ok", "reason": None, "flops_per_s": "fast"},
            State.FAILED,
            "the measurements of the worker are not valid: Expected `float | null`, got `str` - at `$.flops_per_s`",
            CeilingMeasurements(),
        ),
        (
            {"state": "splendid", "reason": None},
            State.FAILED,
            "the measurements of the worker are not valid: Invalid enum value 'splendid' - at `$.state`",
            CeilingMeasurements(),
        ),
        (
            [],
            State.FAILED,
            "the measurements of the worker are not valid: Expected `object`, got `array`",
            CeilingMeasurements(),
        ),
    ],
)
def test_measures_are_validated(
    tmp_path: Path, document: object, state: State, reason: str | None, measurements: CeilingMeasurements
) -> None:
    outcome = launch_script(tmp_path, f"echo '{json.dumps(document)}' > measures.json")
    assert (outcome.state, outcome.reason, outcome.measurements) == (state, reason, measurements)


def test_measures_of_an_earlier_attempt_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "measures.json").write_text('{"state": "ok", "reason": null}')
    outcome = launch_script(tmp_path, "echo a last word; exit 3")
    assert outcome.state == State.FAILED
    assert outcome.reason == "ended with code 3 and no measures; log: …a last word"


def test_an_interpreter_that_cannot_be_started_is_not_installed(tmp_path: Path) -> None:
    manifest = EnvironmentManifest(title="any", packages=("numpy",))
    outcome = launch(tmp_path / "absent", Plugin("any", "any", tmp_path / "any", manifest), JOB, tmp_path / "job", 60)
    assert outcome.state == State.NOT_INSTALLED
    assert "can't be started" in str(outcome.reason)
