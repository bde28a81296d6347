"""What the tests share: the command line as a user meets it, and the runs that several tests read."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
THIRD_PARTY = Path(__file__).parent / "third_party"  # holds a distribution with a backend, as an installer leaves it
Command = Callable[..., subprocess.CompletedProcess[str]]


def environment() -> dict[str, str]:
    """Return the environment variables of a process in which the third-party backend is installed."""
    return {**os.environ, "PYTHONPATH": str(THIRD_PARTY)}


@pytest.fixture(scope="session")
def crossframe(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """`crossframe WORDS`, in an empty folder, as a process of its own."""
    folder = tmp_path_factory.mktemp("elsewhere")

    def call(*words: object, timeout: float = 900, cwd: Path = folder) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "crossframe", *map(str, words)]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, cwd=cwd, env=environment(), check=False
        )

    return call


@pytest.fixture(scope="session")
def faulty_run(crossframe: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a backend that fails in every way it can, one way a mode."""
    folder = tmp_path_factory.mktemp("faulty") / "run"
    done = crossframe(
        "run",
        "--no-parity",
        "--backend",
        "faulty",
        "--mode",
        "all",
        "--task",
        "circle",
        "--preset",
        "quick",
        "--timeout",
        6,
        "--out",
        folder,
    )
    assert done.returncode == 1, done.stderr
    return folder
