"""The memory and energy of a GPU: the numbers of the allocator and the driver agree, and repeats agree."""

from pathlib import Path

import pytest

from crossframe.harness.analysis import gpu as gpu_analysis
from crossframe.harness.analysis import gpu_warnings
from crossframe.harness.analysis.metrics import METRICS
from crossframe.harness.records.model import Record
from crossframe.harness.selftest.clock import select_clock_task
from crossframe.harness.worker.states import State
from tests.gpu.conftest import Run

pytestmark = pytest.mark.gpu

ENERGY_TOLERANCE = 0.03  # of the energy of a step between repeats
SCALE = 4  # a GPU is busy at this scale, so that its power is that of the training
REPEATS = 3


@pytest.fixture(scope="module")
def records(gpu: str, pythons: dict[str, Path], run: Run) -> list[Record]:
    """Return a few repeats of the task with the most operations per parameter, in every framework."""
    words = ("--task", select_clock_task().name, "--preset", "quick", "--scale", SCALE, "--repeats", REPEATS)
    results = run("--backend", ",".join(pythons), *words)
    assert [record.reason for record in results if record.state != State.OK] == []
    return results


def test_the_driver_and_the_allocator_agree_on_memory(records: list[Record]) -> None:
    for record in records:
        peak, rise = record.measurements.device_peak_bytes, gpu_analysis.read_memory_peak_bytes(record)
        assert rise is not None, record.cell
        assert peak is not None, record.cell
        assert peak <= rise, record.cell
        unexplained = gpu_analysis.read_unexplained_bytes(record)
        if unexplained is not None:
            text = gpu_warnings.describe_memory([record])
            assert abs(unexplained) < gpu_warnings.UNEXPLAINED_MB * 1e6, (record.cell, text)


def test_the_energy_of_a_step_repeats(records: list[Record]) -> None:
    energies: dict[str, list[float]] = {}
    for record in records:
        value = METRICS["energy_per_sample_j"].read(record)
        assert value is not None, record.cell
        assert value > 0, record.cell
        energies.setdefault(record.cell.backend, []).append(value)
    for backend, values in energies.items():
        median = sorted(values)[len(values) // 2]
        assert max(abs(value / median - 1) for value in values) <= ENERGY_TOLERANCE, (backend, values)


def test_the_gpu_was_neither_throttled_nor_shared(records: list[Record]) -> None:
    assert [caveat for record in records for caveat in gpu_warnings.find_caveats(record.gpu)] == []
