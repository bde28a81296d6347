"""A third-party backend: installed by pip, run in an environment of its own, with all checks of a built-in one."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import THIRD_PARTY

EXAMPLE = THIRD_PARTY / "example_backend"
pytestmark = pytest.mark.campaign  # verifies and measures four tasks in a slow backend


def install(source: Path, target: Path) -> dict[str, str]:
    """Install a distribution beside Crossframe; return environment variables with which both are found."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target), str(source)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return {**os.environ, "PYTHONPATH": str(target)}


def run_conformance(env_vars: dict[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "crossframe", "conformance", "autograd", *options]
    return subprocess.run(command, env=env_vars, capture_output=True, text=True, timeout=900, check=False)


def copy_example(tmp_path: Path, old: str = "", new: str = "") -> Path:
    """Copy the example, with `old` replaced by `new` in its code."""
    source = tmp_path / "source"
    shutil.copytree(EXAMPLE, source, ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
    module = source / "crossframe_autograd" / "__init__.py"
    text = module.read_text()
    assert old in text
    module.write_text(text.replace(old, new, 1))
    return source


def test_the_example_conforms(tmp_path: Path) -> None:
    done = run_conformance(install(copy_example(tmp_path), tmp_path / "site"))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    summary = done.stdout.splitlines()[-1]
    assert " 0 failed" in summary
    assert int(summary.split()[0]) > 60
    assert "run::cnn[numpy]::onnx UNSUPPORTED: Unsupported: autograd has no ONNX exporter" in done.stdout
    assert "contract::modes PASSED" in done.stdout


@pytest.mark.parametrize(
    ("task", "old", "new", "failure"),
    [
        ("lstm", "i, f, g, o = anp.split", "i, g, f, o = anp.split", "forward lstm1: outputs FAILED"),
        ("circle", "anp.where(x > 0, x, 0)", "anp.where(x > 0, x, 0.01 * x)", "forward relu1: outputs FAILED"),
        (
            "circle",
            'MODES: tuple[str, ...] = ("numpy",)',
            'MODES: tuple[str, ...] = ("jit",)',
            "contract::modes FAILED",
        ),
        ("circle", "1 - s.beta2**k)", "1 - s.beta2)", "adam plain: weights FAILED"),
    ],
)
def test_a_broken_copy_fails_where_it_is_broken(tmp_path: Path, task: str, old: str, new: str, failure: str) -> None:
    done = run_conformance(install(copy_example(tmp_path, old, new), tmp_path / "site"), "--task", task)
    assert done.returncode == 4, done.stdout + done.stderr
    failures = [line for line in done.stdout.splitlines() if "FAILED" in line]
    assert failures
    assert failure in failures[0]
