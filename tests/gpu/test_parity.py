"""Parity on a GPU: correct backends pass in every precision, planted mistakes are caught."""

import json
from pathlib import Path

import pytest

from crossframe.backends import discover
from crossframe.harness.parity import checks
from crossframe.harness.selftest.known_costs import select_smallest_task
from tests.frameworks.test_faults import CAUGHT_BY, ProbedBackend
from tests.gpu.conftest import Command
from tests.support.planted_mistakes import list_probes
from tests.support.small_tasks import SMALL, small_task

pytestmark = pytest.mark.gpu

PRECISIONS = ("float32", "tf32", "bfloat16", "float16")
WRAPPED = "torch"  # the backend with planted mistakes


@pytest.fixture(scope="module")
def probed(device: str, pythons: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> ProbedBackend:
    if WRAPPED not in pythons:
        pytest.skip(f"mistakes are planted in {WRAPPED}, and no interpreter has it")
    return ProbedBackend(discover()[WRAPPED], tmp_path_factory.mktemp("planted"), device, pythons[WRAPPED])


@pytest.mark.parametrize("precision", PRECISIONS)
def test_correct_backends_pass(device: str, pythons: dict[str, Path], command: Command, precision: str) -> None:
    """The smallest task only; `crossframe parity` verifies all tasks."""
    words = ("--task", select_smallest_task().name, "--preset", "quick", "--precision", precision, "--format", "json")
    process = command("parity", "--backend", ",".join(pythons), *words)
    results = json.loads(process.stdout or "[]")
    assert len(results) == len(pythons), process.stderr[-2000:]
    allowed = {"ok", "unsupported"} if device == "cpu" else {"ok"}  # a CPU has no TF32
    for result in results:
        assert result["state"] in allowed, (result["cell"], result["reason"])


@pytest.mark.parametrize("task", SMALL)
def test_the_wrapped_backend_passes_without_a_mistake(probed: ProbedBackend, task: str) -> None:
    results = [check for name in list_probes(small_task(task)) for check in probed.tasks[task].check(name)]
    assert [checks.describe_check(check) for check in results if not check.passed] == []


@pytest.mark.parametrize("mistake", CAUGHT_BY)
def test_a_planted_mistake_is_caught(probed: ProbedBackend, mistake: str) -> None:
    task, probes = CAUGHT_BY[mistake]
    for probe in probes:
        results = list(probed.tasks[task].check(probe, mistake))
        assert results
        assert not all(check.passed for check in results), f"{probe} did not catch it"


def test_a_missing_barrier_is_caught(gpu: str, probed: ProbedBackend) -> None:
    """A GPU continues after a call has returned, unlike the CPU in PyTorch."""
    for task in probed.tasks.values():
        assert task.measurements.unfinished is not None
        assert checks.check_barrier(task.measurements.unfinished).passed
    assert not checks.check_barrier(probed.unfinished_without_barrier).passed
