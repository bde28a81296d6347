"""The estimate of a run: environments to make, time, disk."""

import sys
from pathlib import Path

import pytest

from crossframe.harness.plan import estimate
from tests.support.fake_nvml import AMPERE, install_driver
from tests.support.synthetic import make_repeats, plan_for, save_run


def test_an_estimate_covers_the_builds_for_the_device(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("CROSSFRAME_CACHE", str(tmp_path))  # without environments
    on_cpu = estimate.estimate(plan_for("cpu"), Path("absent"))
    install_driver(monkeypatch, "580.82.07", AMPERE)
    on_gpu = estimate.estimate(plan_for("cuda"), Path("absent"))
    assert on_cpu.notes == {}
    assert on_gpu.notes.keys() == {"mxnet", "tensorflow"}
    assert "tensorflow on cuda:0: for compute capability 9.0" in estimate.as_table(on_gpu)
    assert on_gpu.disk_bytes - on_cpu.disk_bytes == pytest.approx(4 * (4.6e9 - 1.2e9))
    # A backend with an interpreter of the user needs no environment and is not described by the notes of our builds.
    interpreters = dict.fromkeys(on_gpu.environments_to_make, sys.executable)
    with_interpreters = estimate.estimate(plan_for("cuda", python=interpreters), Path("absent"))
    assert with_interpreters.notes == {}
    assert with_interpreters.environments_to_make == []


def test_earlier_runs_give_the_time_of_a_job(tmp_path: Path) -> None:
    plan = plan_for("cpu", backend=["reference"])
    (job,) = plan.jobs
    cell = {"mode": job.cell.mode, "batch_size": job.cell.batch_size}
    save_run(tmp_path / "earlier", make_repeats("reference", [1e-3] * 3, cell=cell, wall_s=2.5))
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "run.json").write_text("{")
    timed = estimate.estimate(plan, tmp_path)
    assert (timed.seconds, timed.timed_share) == (2.5, 1.0)
    unknown = estimate.estimate(plan, tmp_path / "absent")
    assert (unknown.seconds, unknown.timed_share) == (estimate.UNKNOWN_JOB_S, 0.0)
