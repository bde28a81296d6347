"""Requests for a GPU on a machine without one end before anything is written."""

from pathlib import Path

import pytest

from crossframe.harness import runtimes
from crossframe.harness.machine import gpus
from tests.conftest import Command

# Command -> its arguments.
COMMANDS: dict[str, tuple[object, ...]] = {
    "run": ("--preset", "quick", "--out", "run"),
    "plan": ("--preset", "quick"),
    "parity": ("--preset", "quick"),
    "infer": ("--preset", "quick"),
    "portability": (),
    "check": (__file__,),
    "selftest": (),
    "conformance": ("reference", "--preset", "quick"),
}


@pytest.mark.skipif(bool(gpus.list_gpus()), reason="this machine has a GPU")
@pytest.mark.parametrize("command", COMMANDS)
def test_without_a_gpu_every_command_exits_with_missing_and_writes_nothing(
    crossframe: Command, tmp_path: Path, command: str
) -> None:
    done = crossframe(command, "--device", "cuda", *COMMANDS[command], cwd=tmp_path)
    assert done.returncode == 3
    assert "cuda does not exist" in done.stderr
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_a_runtime_for_gpus_needs_the_device(crossframe: Command) -> None:
    done = crossframe("check", __file__, "--runtime", "onnxruntime_cuda", "--device", "cpu")
    assert done.returncode == 2
    assert "onnxruntime_cuda" in done.stderr
    assert "--device cuda" in done.stderr
    assert "onnxruntime_cuda" not in runtimes.find_runtimes("cpu")
    assert "onnxruntime_cuda" in runtimes.find_runtimes("cuda:1")
