"""The handwritten loops run in every framework, also wide and tuned; their speed is not tested."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from crossframe.backends import discover
from crossframe.harness.launch.env_vars import import_path
from crossframe.harness.machine.environments import make_environment

ROOT = Path(__file__).resolve().parents[2]
BACKENDS = {name: backend for name, backend in discover().items() if "cpu" in backend.manifest.install}


@pytest.mark.parametrize("name", BACKENDS)
def test_the_handwritten_loop_runs(name: str) -> None:
    backend = BACKENDS[name]
    python = make_environment(backend, "cpu").python
    command = [str(python), "-m", "tests.benchmarks.handwritten", name, "--task", "circle", "--tuned"]
    command += ["--mode", backend.manifest.modes[0], "--rounds", "1", "--scale", "2"]
    env_vars = {**os.environ, "PYTHONPATH": f"{import_path(backend)}:{ROOT}"}
    process = subprocess.run(command, cwd=ROOT, env=env_vars, capture_output=True, text=True, timeout=300, check=False)
    assert process.returncode == 0, process.stderr
    assert "batch 128, scale 2, float32, tuned" in process.stdout
    speeds = re.search(r"backend +([\d.]+)/s  by hand +([\d.]+)/s  ratio", process.stdout)
    assert speeds is not None
    assert float(speeds[1]) > 0
    assert float(speeds[2]) > 0
