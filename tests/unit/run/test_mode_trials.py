"""The choice of modes by a short trial."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from crossframe.backends import discover
from crossframe.harness.plan.plan import BEST_MODE, Plan, interleave, make_plan
from crossframe.harness.records.model import Cell, ModeTrial, RunOptions
from crossframe.harness.run import mode_trials
from crossframe.harness.run.mode_trials import choose_modes, try_modes

CELLS = [
    Cell(task, backend, mode, "cpu", "float32", 64)
    for task in ("circle", "cnn")
    for backend, mode in (("torch", "eager"), ("torch", "compile"), ("jax", "jit"), ("jax", "scan"))
]


def make_trials(times_s: list[float | None]) -> list[ModeTrial]:
    return [ModeTrial(cell, step_s, None if step_s else "failed") for cell, step_s in zip(CELLS, times_s, strict=True)]


def choose(times_s: list[float | None]) -> set[tuple[str, str]]:
    plan = Plan({}, {}, "cpu", tuple(interleave(CELLS, 2)), RunOptions())
    chosen = choose_modes(plan, make_trials(times_s))
    assert {job.repeat for job in chosen.jobs} == {1, 2}
    return {(job.cell.task, job.cell.mode) for job in chosen.jobs}


def test_the_fastest_mode_of_each_framework_and_task_is_measured() -> None:
    assert choose([2.0, 1.0, 1.0, 3.0, 1.0, 2.0, 3.0, 2.0]) == {
        *(("circle", "compile"), ("circle", "jit")),
        *(("cnn", "eager"), ("cnn", "scan")),
    }


def test_a_mode_that_fails_is_not_chosen_unless_all_fail() -> None:
    chosen = choose([None, 9.0, 1.0, None, None, None, 3.0, None])
    assert chosen == {("circle", "compile"), ("circle", "jit"), ("cnn", "eager"), ("cnn", "jit")}


def test_best_plans_every_mode_that_can_run() -> None:
    options = RunOptions(task=["cnn"], backend=["jax"], mode=[BEST_MODE], device="cpu")
    assert {job.cell.mode for job in make_plan(options).jobs} == {"jit", "eager"}  # no scan of a CNN on a CPU


@pytest.mark.frameworks  # measures for seconds
def test_a_trial_times_each_mode_or_says_why_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = RunOptions(task=["circle"], backend=["reference"], preset="quick", device="cpu", cpus=[0])
    plan = make_plan(options)
    (trial,) = try_modes(plan)
    assert trial.reason is None
    assert trial.step_s is not None
    assert 0 < trial.step_s < 1
    monkeypatch.setattr(mode_trials, "prepare_environments", lambda *_: ({}, {"reference": ("failed", "no network")}))
    assert try_modes(plan) == [replace(trial, step_s=None, reason="no network")]
    assert "reference" in discover()
