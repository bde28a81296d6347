"""Files that are written whole, and digests of folders."""

import errno
import io
import os
from pathlib import Path

import numpy as np
import pytest

from crossframe.harness import files
from crossframe.harness.errors import DamagedFileError
from crossframe.harness.files import (
    append_line,
    digest,
    lock_folder,
    make_folder,
    make_link,
    read_archive,
    remove_file,
    write_atomically,
)


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


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return the folders whose names are made sure to be on the disk."""
    folders: list[Path] = []
    monkeypatch.setattr(files, "sync_folder", folders.append)
    return folders


def test_the_names_of_new_folders_are_on_the_disk(tmp_path: Path, synced: list[Path]) -> None:
    make_folder(tmp_path / "a" / "b")
    assert synced == [tmp_path / "a", tmp_path]
    make_folder(tmp_path / "a" / "b")
    assert len(synced) == 2  # nothing is new
    with pytest.raises(FileExistsError):
        make_folder(tmp_path / "a", exist_ok=False)


def test_a_removed_file_is_gone_from_the_disk(tmp_path: Path, synced: list[Path]) -> None:
    (tmp_path / "file").touch()
    remove_file(tmp_path / "file")
    assert not (tmp_path / "file").exists()
    assert synced == [tmp_path]
    remove_file(tmp_path / "missing" / "file")


def test_the_errors_of_an_open_file_name_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    for write in (write_atomically, append_line):
        with pytest.raises(OSError, match="No space") as error:
            write(tmp_path / "file", "text")
        assert error.value.filename == str(tmp_path / "file")


def test_an_archive_that_can_not_be_read_names_the_error_of_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_atomically(tmp_path / "arrays.npz", {"a": np.arange(3)})

    class FailingFile(io.FileIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(files, "open", lambda descriptor, _: FailingFile(descriptor), raising=False)
    with pytest.raises(DamagedFileError, match="Input/output error"):
        read_archive(tmp_path / "arrays.npz")


def test_a_link_that_can_not_be_made_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="directory"):
        make_link(tmp_path / "folder", Path("/target"))
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_an_error_of_what_holds_a_folder_is_not_taken_for_another_holder(tmp_path: Path) -> None:
    with pytest.raises(BlockingIOError), lock_folder(tmp_path):
        raise BlockingIOError


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
