"""The meters, compared with known costs: the memory of a GPU by its driver, and the clocks of the backends."""

import json
import subprocess
from pathlib import Path

import pytest

from crossframe.harness.analysis.gpu import measure_memory_rise
from crossframe.harness.launch.gpu_sampler import GpuSampler
from tests.gpu.conftest import Command

pytestmark = pytest.mark.gpu

SIZES = (256 << 20, 1 << 30)
TOLERANCE_BYTES = 8 << 20  # an allocator and a driver hand out memory in pieces of 2 MiB
ALLOCATE = """
import sys, time, torch
array = torch.ones(max(1, int(sys.argv[2])), dtype=torch.uint8, device=sys.argv[1])
torch.cuda.synchronize()
time.sleep(1)
"""


def measure_allocation(python: Path, gpu: str, size: int) -> int:
    """Return the rise of the used memory of a GPU while a process allocates `size` bytes of it."""
    with GpuSampler(gpu) as sampler:
        subprocess.run([str(python), "-c", ALLOCATE, gpu, str(size)], check=True, timeout=120)
    rise = measure_memory_rise(sampler.samples())
    assert rise is not None
    return rise


@pytest.mark.parametrize("size", SIZES)
def test_a_known_allocation_is_measured(gpu: str, pythons: dict[str, Path], size: int) -> None:
    if "torch" not in pythons:
        pytest.skip("PyTorch allocates here, and no interpreter has it")
    context = measure_allocation(pythons["torch"], gpu, 0)
    assert abs(measure_allocation(pythons["torch"], gpu, size) - context - size) <= TOLERANCE_BYTES


def test_clocks_stop_when_the_work_is_done(device: str, pythons: dict[str, Path], command: Command) -> None:
    words = ("--backend", ",".join(pythons), "--pairs", 0, "--tries", 0, "--format", "json")
    process = command("selftest", *words)
    report = json.loads(process.stdout or "{}")
    assert report, process.stderr[-2000:]
    assert [(clock["backend"], clock["state"], clock["reason"]) for clock in report["clocks"]] == [
        (name, "ok", None) for name in pythons
    ]
    assert {clock["device"] for clock in report["clocks"]} == {device}
