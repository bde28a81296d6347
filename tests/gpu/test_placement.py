"""No job that requests a GPU runs on the CPU unnoticed: correct backends use the GPU, planted fallbacks are caught."""

from pathlib import Path

import pytest

from crossframe.harness.selftest.known_costs import select_smallest_task
from crossframe.harness.worker.states import State
from tests.gpu.conftest import Run

pytestmark = pytest.mark.gpu

# Mode of the backend `faulty`, which always computes in NumPy -> part of the reason of its failure.
PLANTED = {
    "honest": "the parameters and results are on cpu",
    "retreats": "the parameters and results are on cpu",
    "strays": "the parameters and results are on cpu and",
    "answers_elsewhere": "the parameters and results are on cpu and",
    "pretends": "the peak of its allocator is 0 bytes",
}


def test_every_backend_trains_on_the_requested_device(device: str, pythons: dict[str, Path], run: Run) -> None:
    records = run("--backend", ",".join(pythons), "--task", select_smallest_task().name, "--preset", "quick")
    assert {record.cell.backend for record in records} == set(pythons)
    for record in records:
        assert record.state == State.OK, record.reason
        assert record.measurements.placement == record.cell.device == device


def test_a_framework_that_falls_back_to_the_cpu_is_caught(gpu: str, pythons: dict[str, Path], run: Run) -> None:
    if "torch" not in pythons:
        pytest.skip("the planted backend wraps PyTorch, and no interpreter has it")
    (record,) = run("--backend", "retreating", "--task", select_smallest_task().name, "--preset", "quick")
    assert record.state == State.FAILED
    assert f"requested {gpu}, but the parameters and results are on cpu" in str(record.reason)


def test_every_planted_misplacement_is_caught(gpu: str, run: Run) -> None:
    task = select_smallest_task().name
    records = run("--backend", "faulty", "--mode", ",".join(PLANTED), "--task", task, "--preset", "quick")
    assert {record.cell.mode for record in records} == set(PLANTED)
    for record in records:
        assert record.state == State.FAILED, record.cell
        assert PLANTED[record.cell.mode] in str(record.reason)
