"""A backend that lacks optimizers is verified on the tasks that do not use them, and on no others."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from crossframe.backends import read_backend
from crossframe.backends.contract import Precision
from crossframe.harness.launch.launch import Outcome
from crossframe.harness.parity.optimizer_variants import OPTIMIZERS, OWN, is_optimizer_probe, name_optimizer
from crossframe.harness.parity.probe_process import run_probe_job
from crossframe.harness.parity.probe_set import write_probe_set
from crossframe.harness.parity.reference_traces import ReferenceTraces
from crossframe.harness.parity.result import ParityResult
from crossframe.harness.parity.verify_cells import judge_outcome
from crossframe.harness.plan.inputs import write_inputs
from crossframe.harness.records.model import Cell
from crossframe.harness.worker.jobs import ProbeJob
from crossframe.harness.worker.measurements import ProbeMeasurements, ProbeResult
from crossframe.harness.worker.states import State
from crossframe.tasks import discover
from crossframe.tasks.spec import AdaGrad, Optimizer
from tests.conftest import THIRD_PARTY

pytestmark = pytest.mark.frameworks  # starts processes for seconds

CIRCLE = discover()["circle"]["quick"]
CELL = Cell("circle", "partial", "some_parts", "cpu", "float32", CIRCLE.batch_size)


def test_every_probe_of_an_optimizer_is_known_as_one(tmp_path: Path) -> None:
    write_inputs(tmp_path / "inputs.npz", CIRCLE, None, None)
    probe_set = write_probe_set(CIRCLE, tmp_path / "inputs.npz", tmp_path, every_optimizer=True)
    by_optimizer: dict[str, set[str]] = {}
    for probe in probe_set.probes:
        if is_optimizer_probe(probe) and not probe.name.startswith(OWN):
            optimizer, _, variant = probe.name.partition(" ")
            assert name_optimizer(probe.task.optimizer) == optimizer
            by_optimizer.setdefault(optimizer, set()).add(variant)
    assert by_optimizer.keys() == OPTIMIZERS.keys()
    assert all({"plain", "all variants"} <= variants for variants in by_optimizer.values())


def run_probes(folder: Path, optimizer: Optimizer) -> tuple[ReferenceTraces, Outcome[ProbeMeasurements]]:
    """Run the probes of a task with this optimizer in a backend without AdaGrad and RMSProp."""
    backend = read_backend("partial", "partial", THIRD_PARTY / "partial_backend" / "partial")
    task = replace(CIRCLE, optimizer=optimizer)
    write_inputs(folder / "inputs.npz", task, None, None)
    probe_set = write_probe_set(task, folder / "inputs.npz", folder, every_optimizer=True)
    job = ProbeJob(
        module=backend.module,
        packages=["numpy"],
        mode=CELL.mode,
        device="cpu",
        precision=Precision.FLOAT32,
        inputs=str(probe_set.path),
        probes=probe_set.probes,
        cpus=sorted(os.sched_getaffinity(0)),
    )
    return ReferenceTraces(probe_set), run_probe_job(Path(sys.executable), backend, job, folder / "job", 300)


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ReferenceTraces, Outcome[ProbeMeasurements]]:
    folder = tmp_path_factory.mktemp("probes")
    return folder / "job", *run_probes(folder, CIRCLE.optimizer)


def test_a_task_that_does_not_use_them_is_verified(
    probed: tuple[Path, ReferenceTraces, Outcome[ProbeMeasurements]],
) -> None:
    folder, reference, outcome = probed
    result = judge_outcome(reference, CELL, outcome, folder)
    assert (result.state, result.reason) == (State.OK, None)
    assert result.missing_optimizers == {
        "adagrad": "Unsupported: there is no AdaGrad",
        "rmsprop": "Unsupported: there is no RMSProp",
    }
    verified = {check.name.partition(" ")[0] for check in result.checks}
    assert {"sgd", "momentum", "adam", "own"} <= verified
    assert not {"adagrad", "rmsprop"} & verified


@pytest.mark.parametrize("name", ["adam plain", "own optimizer plain", "gradient", "odd batches"])
def test_what_the_task_needs_must_be_there(
    probed: tuple[Path, ReferenceTraces, Outcome[ProbeMeasurements]], name: str
) -> None:
    folder, reference, outcome = probed
    states = {**outcome.measurements.probes, name: ProbeResult(State.UNSUPPORTED, "no")}
    outcome = replace(outcome, measurements=replace(outcome.measurements, probes=states))
    result = judge_outcome(reference, CELL, outcome, folder)
    assert (result.state, result.reason, result.missing_optimizers) == (State.UNSUPPORTED, f"{name}: no", {})


def test_a_task_that_uses_one_of_them_is_unsupported(tmp_path: Path) -> None:
    reference, outcome = run_probes(tmp_path, AdaGrad(0.01))
    result: ParityResult = judge_outcome(reference, CELL, outcome, tmp_path / "job")
    assert result.state == State.UNSUPPORTED
    assert "there is no AdaGrad" in str(result.reason)
