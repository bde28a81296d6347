"""The GPU and the interpreters of these tests, from two variables; without a GPU the tests are skipped.

`CROSSFRAME_TEST_DEVICE` (default: cuda:0) is the device; `cpu` runs the tests that make sense there.
`CROSSFRAME_TEST_PYTHON` (`torch=PATH,jax=PATH`) names interpreters that have the frameworks; without it, this one is
used for each framework that it has.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from crossframe.backends import discover
from crossframe.harness.machine.gpus import list_gpus
from crossframe.harness.records import store
from crossframe.harness.records.model import Record
from tests.conftest import THIRD_PARTY

Command = Callable[..., subprocess.CompletedProcess[str]]
Run = Callable[..., list[Record]]


@pytest.fixture(scope="session")
def device() -> str:
    """Return the tested device; the test is skipped if it does not exist."""
    name = os.environ.get("CROSSFRAME_TEST_DEVICE", "cuda:0")
    if name != "cpu" and not list_gpus():
        pytest.skip("the driver shows no NVIDIA GPU")
    return name


@pytest.fixture(scope="session")
def gpu(device: str) -> str:
    """Return the tested GPU; for tests that make no sense on a CPU."""
    if device == "cpu":
        pytest.skip("needs a GPU")
    return device


@pytest.fixture(scope="session")
def pythons() -> dict[str, Path]:
    """Return backend -> an interpreter that has its framework."""
    text = os.environ.get("CROSSFRAME_TEST_PYTHON", "")
    if text:
        return {name: Path(path) for name, _, path in (pair.partition("=") for pair in text.split(","))}
    with_builds = [name for name, backend in discover().items() if backend.has_builds]
    interpreters = {name: Path(sys.executable) for name in with_builds if find_spec(name)}
    if not interpreters:
        pytest.skip("no interpreter with a framework: name some in CROSSFRAME_TEST_PYTHON")
    return interpreters


@pytest.fixture(scope="session")
def command(device: str, pythons: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Command:
    """Return `command(WORD, ...)`: Crossframe on the device, with these interpreters and the third-party backends."""
    folder = tmp_path_factory.mktemp("gpu")
    inherited = os.environ.get("PYTHONPATH", "")
    path = os.pathsep.join(map(str, (THIRD_PARTY, THIRD_PARTY / "retreating_backend", inherited)))
    interpreters = [part for name, python in pythons.items() for part in ("--python", f"{name}={python}")]
    interpreters += ["--python", f"retreating={pythons['torch']}"] if "torch" in pythons else []

    def call(*words: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "crossframe", *map(str, words), "--device", device, *interpreters],
            capture_output=True,
            text=True,
            timeout=600,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path},
            check=False,
        )

    return call


@pytest.fixture(scope="session")
def run(command: Command, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return `run(WORD, ...)`: the records of a run without the parity gate."""

    def read_records(*words: object) -> list[Record]:
        folder = tmp_path_factory.mktemp("run") / "run"
        process = command("run", "--no-parity", "--out", folder, *words)
        assert (folder / "records.jsonl").exists(), process.stderr[-2000:]
        return store.read_with_warnings(folder)

    return read_records
