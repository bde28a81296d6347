"""The loops by hand run in every framework, scaled and tuned too: what they are worth is for a quiet machine to say."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from crossframe.backends import discover
from crossframe.harness.launch.launch import import_path
from crossframe.harness.machine.environments import make

ROOT = Path(__file__).resolve().parents[2]
BACKENDS = {name: backend for name, backend in discover().items() if backend.facts.get("install", {}).get("cpu")}


@pytest.mark.parametrize("name", BACKENDS)
def test_a_loop_by_hand_runs_beside_ours(name: str) -> None:
    command = [make(BACKENDS[name], "cpu").python, "-m", "tests.benchmarks.handwritten", name, "--task", "circle"]
    words = ["--mode", BACKENDS[name].modes[0], "--rounds", "1", "--scale", "2", "--tuned"]
    variables = {**os.environ, "PYTHONPATH": f"{import_path(BACKENDS[name])}:{ROOT}"}
    done = subprocess.run(
        [*map(str, command), *words], cwd=ROOT, env=variables, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "batch 128, scale 2, float32, tuned" in done.stdout
    found = re.search(r"ours +([\d.]+)/s  by hand +([\d.]+)/s  ratio", done.stdout)
    assert found and float(found[1]) > 0 and float(found[2]) > 0
