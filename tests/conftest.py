"""Shared fixtures: the command line as a separate process, and a run of the faulty backend."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import pytest

ROOT = Path(__file__).parent.parent
THIRD_PARTY = Path(__file__).parent / "third_party"  # a folder of installed distributions, one of them with a backend


# Folders of tests that start frameworks, whole commands or a browser: `pytest -m "not frameworks"` leaves them out.
SLOW_FOLDERS = {"browser", "end_to_end", "faults", "frameworks", "gpu"}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark slow tests by their folder, so that no file can forget it; run the layout first and slow tests last.

    Campaigns run only if `-m` names them. The default of `-m` in pyproject.toml would be lost with any other `-m`.
    """
    if "campaign" not in config.option.markexpr:
        campaigns = [item for item in items if item.get_closest_marker("campaign")]
        config.hook.pytest_deselected(items=campaigns)
        items[:] = [item for item in items if not item.get_closest_marker("campaign")]
    for item in items:
        if is_slow(item):
            item.add_marker("frameworks")
    items.sort(key=lambda item: (bool(item.get_closest_marker("frameworks")), item.path.name != "test_layout.py"))


def is_slow(item: pytest.Item) -> bool:
    return item.path.relative_to(ROOT / "tests").parts[0] in SLOW_FOLDERS


class Command(Protocol):
    """The type of the fixture `crossframe`."""

    def __call__(
        self,
        *arguments: object,
        timeout_s: float = 900,
        cwd: Path | None = None,
        env_vars: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run `crossframe` with `arguments`, by default in an empty folder and with the third-party backend."""


def third_party_env_vars() -> dict[str, str]:
    """Return the environment variables of a process in which the third-party backend is installed."""
    return {**os.environ, "PYTHONPATH": str(THIRD_PARTY)}


@pytest.fixture(scope="session")
def crossframe(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """Return a function that runs `python -m crossframe` in a process of its own."""
    folder = tmp_path_factory.mktemp("cwd")

    def run_command(
        *arguments: object,
        timeout_s: float = 900,
        cwd: Path | None = None,
        env_vars: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "crossframe", *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            cwd=cwd or folder,
            env=env_vars or third_party_env_vars(),
            check=False,
        )

    return run_command


@pytest.fixture(scope="session")
def faulty_run(crossframe: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run of the faulty backend, each of whose modes fails in another way."""
    folder = tmp_path_factory.mktemp("faulty") / "run"
    selection = ("--backend", "faulty", "--mode", "all", "--task", "circle", "--preset", "quick")
    process = crossframe("run", "--no-parity", *selection, "--timeout", 6, "--out", folder)
    assert process.returncode == 1, process.stderr
    return folder
