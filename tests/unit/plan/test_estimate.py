"""The estimate of a run: environments to make, time, disk."""

import sys
from pathlib import Path

import pytest

from crossframe.harness.plan import estimate
from tests.support.fake_nvml import AMPERE, install_driver
from tests.support.synthetic import make_record, make_repeats, plan_for, save_run


def test_an_estimate_covers_the_builds_for_the_device(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("CROSSFRAME_CACHE", str(tmp_path))  # without environments
    on_cpu = estimate.estimate(plan_for("cpu"), Path("absent"))
    install_driver(monkeypatch, "580.82.07", AMPERE)
    on_gpu = estimate.estimate(plan_for("cuda"), Path("absent"))
    assert on_cpu.notes == {}
    assert on_gpu.notes.keys() == {"mxnet", "tensorflow"}
    assert "TensorFlow on cuda:0: " in estimate.as_table(on_gpu)
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


def test_jobs_that_train_to_the_end_are_timed_apart(tmp_path: Path) -> None:
    plan = plan_for("cpu", backend=["reference"], repeats=3)
    cell = {"mode": plan.jobs[0].cell.mode, "batch_size": plan.jobs[0].cell.batch_size}
    records = [
        make_record("reference", number, 1e-3, cell=cell, wall_s=9.0 if number == 1 else 2.0, complete=number == 1)
        for number in (1, 2)
    ]
    save_run(tmp_path / "earlier", records)
    planned = estimate.estimate(plan, tmp_path)
    assert [job.seconds for job in planned.jobs] == [9.0, 2.0, 2.0]
    assert planned.round_s == 2.0


def test_a_cell_without_timing_takes_as_long_as_its_neighbours(tmp_path: Path) -> None:
    timed = make_record("torch", 1, 1e-3, cell={"mode": "eager"}, wall_s=3.0)
    slow = make_record("jax", 1, 1e-3, cell={"mode": "jit"}, wall_s=7.0)
    save_run(tmp_path / "earlier", [timed, slow])
    plan = plan_for("cpu", backend=["torch", "mxnet"], mode=["compile", "hybrid"])
    seconds = {job.cell.backend: job.seconds for job in estimate.estimate(plan, tmp_path).jobs}
    assert seconds == {"torch": 3.0, "mxnet": 5.0}


def test_a_budget_below_a_round_says_what_a_round_costs(tmp_path: Path) -> None:
    plan = plan_for("cpu", backend=["reference", "torch"], time_budget_s=10.0)
    (line,) = estimate.check_budget(plan, tmp_path)
    assert "the time budget of 10 s is below one round of all cells, which takes about 16 s" in line
    assert estimate.check_budget(plan_for("cpu", time_budget_s=600.0), tmp_path) == []
    assert estimate.check_budget(plan_for("cpu"), tmp_path) == []


def test_a_plan_is_grouped_by_task_and_backend() -> None:
    plan = plan_for("cpu", backend=["torch"], mode=["all"], repeats=2, batch_size=[8, 64])
    text = estimate.as_table(estimate.estimate(plan, Path("absent")))
    (row,) = [line.split("  ") for line in text.splitlines() if line.startswith("circle")]
    assert [part.strip() for part in row if part.strip()][1:4] == ["PyTorch", "compile, eager, max-autotune", "12"]
    assert "each in the batch sizes 8, 64" in text
    assert "12 jobs on cpu, 2 rounds of 6 cells" in text
