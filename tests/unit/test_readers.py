"""Whatever lies in place of a file, its reader returns a value or raises its error: nothing else, and nothing runs."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.mutate import CANARY, mutate
from tests.support.readers import READERS, Reader


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return name of a reader -> folder with its valid file."""
    folders = {}
    for name, reader in READERS.items():
        folders[name] = tmp_path_factory.mktemp("valid") / "run"
        folders[name].mkdir()
        reader.write(folders[name])
    return folders


def list_files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if "__pycache__" not in path.parts}


def read_mutated(reader: Reader, valid: Path, random: Random) -> None:
    """Read a changed file in a copy of a folder."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "run"
        shutil.copytree(valid, folder)
        path = folder / reader.file
        path.write_bytes(mutate(path.name, path.read_bytes(), random, Path(name)))
        before = list_files(Path(name))
        with suppress(*reader.errors):
            reader.read(folder)
        assert list_files(Path(name)) == before
        assert not (Path(name) / CANARY).exists()


@pytest.mark.parametrize("name", READERS)
def test_a_valid_file_is_read(valid: dict[str, Path], name: str) -> None:
    value = READERS[name].read(valid[name])
    assert value is not None


@pytest.mark.frameworks  # takes seconds
@pytest.mark.parametrize("name", READERS)
@settings(
    max_examples=10, deadline=60_000, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(random=st.randoms(use_true_random=False))
def test_a_changed_file_is_read_or_named(valid: dict[str, Path], name: str, random: Random) -> None:
    read_mutated(READERS[name], valid[name], random)


@pytest.mark.campaign
@pytest.mark.parametrize("name", READERS)
def test_many_changed_files_are_read_or_named(valid: dict[str, Path], name: str) -> None:
    for seed in range(1000):
        read_mutated(READERS[name], valid[name], Random(seed))
