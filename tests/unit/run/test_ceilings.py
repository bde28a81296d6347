"""Which backends measure the ceilings of a run, and how the results are stored."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from crossframe.backends import Backend
from crossframe.harness.analysis.roofline import roofline_for
from crossframe.harness.launch.launch import Outcome
from crossframe.harness.machine.environments import Environment
from crossframe.harness.plan.plan import Plan, task_for
from crossframe.harness.records.model import CeilingResult, Cell, Roofline
from crossframe.harness.run import ceilings
from crossframe.harness.worker.jobs import CeilingJob
from crossframe.harness.worker.measurements import CeilingMeasurements
from crossframe.harness.worker.states import State
from tests.support.fake_nvml import HOPPER, install_driver
from tests.support.synthetic import plan_for

PYTHON = Environment(Path("python"))


def finish(flops_per_s: float | None, bytes_per_s: float | None) -> Outcome[CeilingMeasurements]:
    return Outcome(State.OK, None, 1.0, CeilingMeasurements(flops_per_s, bytes_per_s))


def find_roofline(plan: Plan, cell: Cell, results: list[CeilingResult]) -> Roofline:
    return roofline_for(task_for(plan, plan.jobs[0].cell), cell, results)


def test_on_a_gpu_all_backends_of_the_run_measure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install_driver(monkeypatch, "580.82.07", HOPPER)
    plan = plan_for("cuda", precision=["float32"])
    speeds = {"torch": 3e12, "jax": 5e12}

    def launch(python: Path, backend: Backend, job: CeilingJob, folder: Path, timeout_s: float) -> object:
        assert job.device == "cuda:0"
        return finish(speeds[backend.name], None)

    monkeypatch.setattr(ceilings, "launch", launch)
    environments = dict.fromkeys(speeds, PYTHON)
    results = ceilings.measure_ceilings(plan, tmp_path, environments, ["float32"])
    cell = plan.jobs[0].cell
    bounds = find_roofline(plan, cell, results)
    assert (bounds.ceiling_flops_per_s, bounds.ceiling_bytes_per_s) == (5e12, None)
    # A run that is resumed does not measure again; another precision has ceilings of its own.
    speeds.clear()
    assert ceilings.measure_ceilings(plan, tmp_path, environments, ["float32"]) == results
    assert find_roofline(plan, replace(cell, precision="float64"), results).ceiling_flops_per_s is None


def test_on_a_cpu_the_frameworks_measure_what_numpy_cannot() -> None:
    plan = plan_for("cpu")
    backends = {
        precision: set(ceilings.ceiling_backends(plan, {"torch": PYTHON}, precision))
        for precision in ("float64", "bfloat16")
    }
    assert backends == {"float64": {"reference"}, "bfloat16": {"torch"}}


def test_a_copy_is_a_ceiling_for_every_precision(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plan = plan_for("cpu", precision=["bfloat16"])
    speeds = {"reference": (3e11, 4e10), "torch": (8e11, 3e9)}
    monkeypatch.setattr(ceilings, "launch", lambda _, backend, *__: finish(*speeds[backend.name]))
    results = ceilings.measure_ceilings(plan, tmp_path, {"torch": PYTHON}, ["bfloat16"])
    bounds = find_roofline(plan, plan.jobs[0].cell, results)
    assert (bounds.ceiling_flops_per_s, bounds.ceiling_bytes_per_s) == (8e11, 4e10)


def test_a_ceiling_on_a_disturbed_gpu_has_a_caveat(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake = install_driver(monkeypatch, "580.82.07", HOPPER)
    plan = plan_for("cuda", backend=["torch"], precision=["float32"])

    def launch(*_: object) -> object:
        fake.throttle = 0x40
        time.sleep(0.15)
        fake.throttle = 0
        return finish(1e12, 1e12)

    monkeypatch.setattr(ceilings, "launch", launch)
    results = ceilings.measure_ceilings(plan, tmp_path, {"torch": PYTHON}, ["float32"])
    bounds = find_roofline(plan, plan.jobs[0].cell, results)
    assert bounds.caveats == ["the clock of the GPU was lowered by its heat (the hardware)"]


def test_a_failed_ceiling_is_stored_with_its_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plan = plan_for("cpu")
    failed = Outcome(State.FAILED, "no memory", 1.0, CeilingMeasurements())
    monkeypatch.setattr(ceilings, "launch", lambda *_: failed)
    (result,) = ceilings.measure_ceilings(plan, tmp_path, {}, ["float32"])
    assert (result.state, result.reason, result.flops_per_s) == (State.FAILED, "no memory", None)
