"""Stored results are keyed by everything that they depend on; a worker's answer becomes one result with a reason."""

import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Barrier, Lock
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from crossframe.backends import Backend, discover
from crossframe.backends.contract import Precision
from crossframe.harness.launch.child import ChildProcess
from crossframe.harness.launch.launch import Outcome
from crossframe.harness.machine.environments import Environment
from crossframe.harness.parity import checks, verdict_key, verify_cells
from crossframe.harness.parity.probe_set import ProbeSet, write_probe_set
from crossframe.harness.parity.reference_traces import ReferenceTraces
from crossframe.harness.parity.result import ParityResult
from crossframe.harness.plan.inputs import write_inputs
from crossframe.harness.plan.plan import Plan
from crossframe.harness.records.model import Cell, RunOptions
from crossframe.harness.worker.jobs import ProbeJob
from crossframe.harness.worker.measurements import ProbeMeasurements, ProbeResult
from crossframe.harness.worker.probes import EPOCH
from crossframe.harness.worker.states import State
from crossframe.tasks import discover as discover_tasks

CELL = Cell("circle", "reference", "numpy", "cpu", "float32", 64)
Change = Callable[[Backend, Environment, ProbeJob], tuple[Backend, Environment, ProbeJob]]


@pytest.fixture
def probe_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ProbeSet:
    monkeypatch.setenv("CROSSFRAME_CACHE", str(tmp_path / "cache"))
    task = discover_tasks()["circle"]["quick"]
    write_inputs(tmp_path / "inputs.npz", task, None, None)
    return write_probe_set(task, tmp_path / "inputs.npz", tmp_path, every_optimizer=False)


@pytest.fixture
def request_parts(probe_set: ProbeSet, tmp_path: Path) -> tuple[Backend, Environment, ProbeJob]:
    backend = discover()["reference"]
    copy = tmp_path / "backend"
    shutil.copytree(backend.folder, copy)
    job = ProbeJob(
        module=backend.module,
        packages=list(backend.manifest.packages),
        mode="numpy",
        device="cpu",
        precision=Precision.FLOAT32,
        inputs=str(probe_set.path),
        probes=probe_set.probes,
        cpus=[0],
    )
    return replace(backend, folder=copy), Environment(Path("python")), job


def change_code(backend: Backend, environment: Environment, job: ProbeJob) -> tuple[Backend, Environment, ProbeJob]:
    (backend.folder / "another.py").write_text("X = 1\n")
    return backend, environment, job


def change_inputs(backend: Backend, environment: Environment, job: ProbeJob) -> tuple[Backend, Environment, ProbeJob]:
    with np.load(job.inputs, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    np.savez(job.inputs, **{**arrays, "gradient0/x": arrays["gradient0/x"] + 1})  # type: ignore[arg-type]
    return backend, environment, job


CHANGES: dict[str, Change] = {
    "code": change_code,
    "inputs": change_inputs,
    "interpreter": lambda backend, _, job: (backend, Environment(Path("other/python")), job),
    "mode": lambda backend, environment, job: (backend, environment, replace(job, mode="fast")),
    "precision": lambda backend, environment, job: (backend, environment, replace(job, precision=Precision.FLOAT64)),
    "probes": lambda backend, environment, job: (backend, environment, replace(job, probes=job.probes[:-1])),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_verified_again(request_parts: tuple[Backend, Environment, ProbeJob], change: str) -> None:
    before = verify_cells.cached_result_path(*request_parts)
    assert verify_cells.cached_result_path(*request_parts) == before
    assert verify_cells.cached_result_path(*CHANGES[change](*request_parts)) != before


def test_processors_and_folders_do_not_matter(
    request_parts: tuple[Backend, Environment, ProbeJob], tmp_path: Path
) -> None:
    backend, environment, job = request_parts
    moved = shutil.copy(job.inputs, tmp_path / "moved.npz")
    same = replace(job, cpus=[1, 2], inputs=str(moved))
    before = verify_cells.cached_result_path(*request_parts)
    assert verify_cells.cached_result_path(backend, environment, same) == before


def test_the_key_covers_the_code_that_verifies() -> None:
    folders = [Path(package.__path__[0]) for package in verdict_key.PACKAGES]
    covered = {file for folder in folders for file in folder.rglob("*.py")}
    for module in (verify_cells, checks):
        assert Path(module.__file__ or "") in covered
    assert all(folder.is_dir() for folder in folders)


@pytest.mark.parametrize(
    ("outcome", "state", "reason"),
    [
        (Outcome(State.TIMEOUT, "not done", 1.0, ProbeMeasurements()), State.TIMEOUT, "not done"),
        (
            Outcome(State.OK, None, 1.0, ProbeMeasurements(probes={EPOCH: ProbeResult(State.UNSUPPORTED, "no")})),
            State.UNSUPPORTED,
            f"{EPOCH}: no",
        ),
        (Outcome(State.OK, None, 1.0, ProbeMeasurements()), State.FAILED, "no measurement of its barrier"),
    ],
)
def test_a_worker_without_traces_has_a_state_and_a_reason(
    probe_set: ProbeSet, tmp_path: Path, outcome: Outcome[ProbeMeasurements], state: State, reason: str
) -> None:
    result = verify_cells.judge_outcome(ReferenceTraces(probe_set), CELL, outcome, tmp_path)
    assert result.state == state
    assert result.checks == []
    assert result.reason is not None
    assert reason in result.reason


class RecordingVerifier(verify_cells.Verifier):
    """A verifier that records the processors of each cell, and how many cells are verified at once."""

    def prepare(self, expected: int) -> None:
        self.__dict__.update(lock=Lock(), barrier=Barrier(expected), running=0, most=0, processors=[])

    def probe_set_for(self, cell: Cell) -> Any:
        return SimpleNamespace(cost=(1, 1), every_optimizer=False, task=SimpleNamespace(optimizer=None))

    def verify(self, cell: Cell, cpus: list[int]) -> ParityResult:
        state = self.__dict__
        with state["lock"]:
            state["running"] += 1
            state["most"] = max(state["most"], state["running"])
            state["processors"].append(cpus)
        state["barrier"].wait(60)  # one cell alone would wait here for ever if two are to run at once
        time.sleep(0.05)
        with state["lock"]:
            state["running"] -= 1
        return ParityResult(State.OK, None)


@pytest.mark.parametrize(("device", "parallel", "processors"), [("cpu", 2, 1), ("cuda:0", 1, 2)])
def test_a_gpu_verifies_one_cell_at_a_time(tmp_path: Path, device: str, parallel: int, processors: int) -> None:
    """Two at once would disturb each other's choice of kernels. On a CPU, cells share the processors."""
    plan = Plan({}, {}, device, (), RunOptions(cpus=[4, 7]))
    verifier = RecordingVerifier(plan, {}, {}, tmp_path, ChildProcess())
    verifier.prepare(parallel)
    cells = [Cell("circle", "any", mode, device, "float32", 64) for mode in "abcd"]
    results = dict(verify_cells.verify_cells(verifier, cells))
    assert results.keys() == set(cells)
    recorded = verifier.__dict__
    assert recorded["most"] == parallel
    assert all(len(cpus) == processors for cpus in recorded["processors"])
    assert {cpu for cpus in recorded["processors"] for cpu in cpus} == {4, 7}


def test_a_verdict_on_code_from_elsewhere_is_not_kept(
    probe_set: ProbeSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = discover()["reference"]
    plan = Plan({}, {"reference": backend}, "cpu", (), RunOptions(cpus=[0]))
    passed = checks.Check("forward", "outputs", 0, None, 0.0, None, 1.0, passed=True)

    class PassingChild(ChildProcess):
        def call(self, *_: Any, **__: Any) -> Any:  # type: ignore[override]
            return ParityResult(State.OK, None, checks=[passed])

    environments = {"reference": Environment(Path("python"))}
    verifier = verify_cells.Verifier(plan, environments, {("circle", 64): probe_set}, tmp_path, PassingChild())

    def launches(file: Path) -> bool:
        """Verify the cell; return whether a worker was started. It imports `file`."""
        launched = []

        def run_probe_job(*_: Any) -> Outcome[ProbeMeasurements]:
            launched.append(file)
            return Outcome(State.OK, None, 1.0, ProbeMeasurements(outside_files=[str(file)]))

        monkeypatch.setattr(verify_cells, "run_probe_job", run_probe_job)
        assert verifier.verify(CELL, [0]).state == State.OK
        return bool(launched)

    assert launches(tmp_path / "vendor.py")
    assert launches(backend.folder / "model.py")  # again: the first was not kept
    assert not launches(backend.folder / "model.py")
