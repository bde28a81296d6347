"""A file of the cache that is torn is a miss, which is named."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crossframe.harness.files import make_link, write_atomically
from crossframe.harness.machine.cache import read_cached, read_cached_arrays


@dataclass(frozen=True)
class Kept:
    """A result in the cache."""

    value: float


def write(content: bytes) -> Callable[[Path], Any]:
    return lambda path: path.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "empty": write(b""),
    "torn": write(b'{"val'),
    "deep": write(b"[" * 200_000),
    "nan": write(b'{"value": NaN}'),
    "other": write(b'{"speed": 1}'),
    "zip": write(b"PK\x03\x04"),
    "pipe": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "folder": lambda path: path.mkdir(),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_a_miss_that_is_named(
    tmp_path: Path, damage: Callable[[Path], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "kept"
    damage(path)
    assert read_cached(path, Kept) is None
    assert f"{path} is damaged and made again" in capsys.readouterr().err
    assert read_cached_arrays(path) is None
    assert f"{path} is damaged and made again" in capsys.readouterr().err


def test_a_missing_file_is_a_silent_miss(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert read_cached(tmp_path / "kept", Kept) is None
    assert read_cached_arrays(tmp_path / "kept") is None
    assert capsys.readouterr().err == ""


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    write_atomically(tmp_path / "kept", '{"value": 1.5}')
    assert read_cached(tmp_path / "kept", Kept) == Kept(1.5)
    write_atomically(tmp_path / "arrays", {"a": np.arange(3)})
    arrays = read_cached_arrays(tmp_path / "arrays")
    assert arrays is not None
    np.testing.assert_array_equal(arrays["a"], np.arange(3))


def test_a_link_that_leads_elsewhere_is_mended(tmp_path: Path) -> None:
    for target in ("first", "second"):
        (tmp_path / target).mkdir()
    for target in ("first", "second", "second"):
        make_link(tmp_path / "links" / "link", tmp_path / target)
        assert (tmp_path / "links" / "link").readlink() == tmp_path / target
    assert [path.name for path in (tmp_path / "links").iterdir()] == ["link"]
