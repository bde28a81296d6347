"""A checkpoint is continued from another place, and holds the weights itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from crossframe.backends import discover
from crossframe.backends.contract import Precision
from crossframe.harness.launch.launch import Outcome
from crossframe.harness.parity import probe_process
from crossframe.harness.worker.jobs import ProbeJob, ResumeJob
from crossframe.harness.worker.measurements import ProbeMeasurements, ProbeResult
from crossframe.harness.worker.probe import CHECKPOINTS
from crossframe.harness.worker.probes import Probe
from crossframe.harness.worker.states import State
from tests.support.small_tasks import small_task

PROBE = Probe("own", small_task("circle"), ("a", "b"), (1, 2), saved_after=1)
OK = {PROBE.name: ProbeResult(State.OK, None)}


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[ResumeJob]:
    """Return the jobs that continue from a checkpoint; each process succeeds."""
    resumed: list[ResumeJob] = []

    def launch(python: Path, plugin: Any, job: Any, folder: Path, timeout_s: float) -> Outcome[ProbeMeasurements]:
        if isinstance(job, ResumeJob):
            assert (Path(job.checkpoints) / "0" / "weights").exists()
            resumed.append(job)
        return Outcome(State.OK, None, 1.0, ProbeMeasurements(probes=OK, outside_files=[job.PROGRAM[1]]))

    monkeypatch.setattr(probe_process, "launch", launch)
    return resumed


def run(folder: Path) -> Outcome[ProbeMeasurements]:
    job = ProbeJob(
        module="m", packages=[], mode="numpy", device="cpu", precision=Precision.FLOAT32, inputs="", probes=[PROBE],
        cpus=[0],
    )  # fmt: skip
    return probe_process.run_probe_job(Path("python"), discover()["reference"], job, folder, 1.0)


def write_weights(folder: Path, size: int) -> Path:
    path = folder / CHECKPOINTS / "0" / "weights"
    path.parent.mkdir(parents=True)
    path.write_bytes(bytes(size))
    return path


def test_the_second_process_finds_checkpoints_in_another_place(tmp_path: Path, jobs: list[ResumeJob]) -> None:
    saved = write_weights(tmp_path, 1000)
    outcome = run(tmp_path)
    assert outcome.state == State.OK
    assert outcome.measurements.outside_files == ["probe", "resume"]
    assert len(jobs) == 1
    assert not saved.parent.parent.exists()


@pytest.mark.parametrize("linked", [False, True])
def test_a_checkpoint_without_weights_fails(tmp_path: Path, jobs: list[ResumeJob], linked: bool) -> None:
    saved = write_weights(tmp_path, 64)
    if linked:
        elsewhere = tmp_path / "elsewhere"
        elsewhere.write_bytes(bytes(1000))
        (saved.parent / "more").symlink_to(elsewhere)
    outcome = run(tmp_path)
    assert outcome.state == State.FAILED
    assert "the weights alone need" in (outcome.reason or "")
    assert not jobs
