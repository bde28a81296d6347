"""Third-party backends with all checks of a built-in one: one is installed by pip, and verifies slowly."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import THIRD_PARTY

EXAMPLE = THIRD_PARTY / "example_backend"
PARTIAL = {**os.environ, "PYTHONPATH": str(THIRD_PARTY / "partial_backend")}


def install(source: Path, target: Path) -> dict[str, str]:
    """Install a distribution beside Crossframe; return environment variables with which both are found."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target), str(source)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return {**os.environ, "PYTHONPATH": str(target)}


def run_conformance(env_vars: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "crossframe", "conformance", *arguments]
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


def test_a_backend_that_lacks_parts_is_verified_on_the_tasks_that_do_not_need_them() -> None:
    done = run_conformance(PARTIAL, "partial", "--mode", "some_parts", "--task", "circle,lstm")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    verified, counts = lines[-2:]
    assert verified == "verified: circle[some_parts]"
    assert " 0 failed, 5 unsupported" in counts
    assert "parity::circle[some_parts]::adagrad UNSUPPORTED: Unsupported: there is no AdaGrad" in lines
    assert "selftest::clock[some_parts] PASSED" in lines  # on a task that it supports
    for part, opens in (
        ("there is no RMSProp", "tasks that use rmsprop in mode some_parts"),
        ("there is no LSTM", "the task lstm in mode some_parts"),
        ("NumPy has no ONNX exporter", "`crossframe portability`"),
    ):
        assert any(line.startswith("missing: ") and part in line and opens in line for line in lines), part


def test_a_backend_of_which_nothing_is_verified_does_not_conform() -> None:
    done = run_conformance(PARTIAL, "partial", "--mode", "nothing", "--task", "circle")
    assert done.returncode == 4, done.stdout + done.stderr
    assert done.stdout.splitlines()[-2:] == [
        "verified: nothing, so the backend does not conform",
        "1 passed, 0 failed, 3 unsupported",
    ]


@pytest.mark.campaign
def test_the_example_conforms(tmp_path: Path) -> None:
    done = run_conformance(install(copy_example(tmp_path), tmp_path / "site"), "autograd")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    verified, summary = done.stdout.splitlines()[-2:]
    assert verified == "verified: autoencoder[numpy], circle[numpy], cnn[numpy], lstm[numpy]"
    assert " 0 failed" in summary
    assert int(summary.split()[0]) > 60
    assert "run::cnn[numpy]::onnx UNSUPPORTED: Unsupported: autograd has no ONNX exporter" in done.stdout
    assert "contract::modes PASSED" in done.stdout


@pytest.mark.campaign
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
    done = run_conformance(install(copy_example(tmp_path, old, new), tmp_path / "site"), "autograd", "--task", task)
    assert done.returncode == 4, done.stdout + done.stderr
    failures = [line for line in done.stdout.splitlines() if "FAILED" in line]
    assert failures
    assert failure in failures[0]
