"""Files that are written whole, and digests of folders."""

from pathlib import Path

import numpy as np
import pytest

from crossframe.harness.errors import DamagedFileError
from crossframe.harness.files import digest, read_archive, write_atomically


def test_text_bytes_and_arrays_are_written(tmp_path: Path) -> None:
    write_atomically(tmp_path / "new" / "text", "über")
    assert (tmp_path / "new" / "text").read_text() == "über"
    write_atomically(tmp_path / "bytes", b"\x00\x01")
    assert (tmp_path / "bytes").read_bytes() == b"\x00\x01"
    write_atomically(tmp_path / "arrays.npz", {"a/b": np.arange(3)})
    with np.load(tmp_path / "arrays.npz", allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["a/b"], np.arange(3))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["arrays.npz", "bytes", "new"]


class Unwritable:
    """An element of an array that can't be written."""

    def __reduce__(self) -> str:
        raise MemoryError


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "arrays.npz"
    path.write_text("old")
    with pytest.raises(MemoryError):
        write_atomically(path, {"first": np.zeros(3), "second": np.array([Unwritable()], dtype=object)})
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_digest_changes_with_every_file_and_name(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.py").write_text("1")
    (folder / "sub" / "b.toml").write_text("2")
    digests = [digest(folder)]
    (folder / "sub" / "b.toml").write_text("3")
    digests.append(digest(folder))
    (folder / "a.py").rename(folder / "c.py")
    digests.append(digest(folder))
    (folder / "new.py").write_text("")
    digests.append(digest(folder))
    digests.append(digest(folder, folder / "new.py"))
    assert len(set(digests)) == len(digests)


def test_a_digest_ignores_bytecode_and_the_place_of_the_folder(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "__pycache__").mkdir(parents=True)
        (tmp_path / name / "a.py").write_text("1")
        (tmp_path / name / "__pycache__" / "a.pyc").write_text(name)
    assert digest(tmp_path / "one") == digest(tmp_path / "two")
    with pytest.raises(FileNotFoundError):
        digest(tmp_path / "missing")


def test_some_arrays_of_an_archive_are_read_within_a_limit(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    write_atomically(path, {"large": np.zeros(10_000), "small": np.ones(3)})
    assert read_archive(path, 1000, names=["small"]).keys() == {"small"}
    with pytest.raises(DamagedFileError, match="too many"):
        read_archive(path, 1000, names=["large"])
    with pytest.raises(DamagedFileError, match="missing"):
        read_archive(path, names=["missing"])
    with pytest.raises(DamagedFileError, match="more than 1000"):
        read_archive(path, 1000)
