"""What a worker leaves is opened as what it must be: anything else is an error with a reason, at once."""

import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crossframe.harness.launch import leavings
from crossframe.harness.launch.leavings import read_arrays, read_log, read_measures, require_model, require_shape
from crossframe.harness.worker.measurements import TrainMeasurements
from crossframe.harness.worker.states import State

Plant = Callable[[Path], Any]


def make_sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


def make_loop(path: Path) -> None:
    path.symlink_to(path.name)


NO_FILES: dict[str, Plant] = {
    "pipe": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "link": lambda path: path.symlink_to("/etc/passwd"),
    "loop": make_loop,
    "folder": Path.mkdir,
    "sparse": make_sparse,
}


@pytest.mark.parametrize("plant", NO_FILES.values(), ids=NO_FILES)
def test_whatever_lies_in_place_of_a_file_is_an_error_at_once(tmp_path: Path, plant: Plant) -> None:
    for name in ("measures.json", "outputs.npz", "model.onnx"):
        plant(tmp_path / name)
    ending = read_measures(tmp_path, TrainMeasurements)
    assert ending is not None
    assert ending[0] == State.FAILED
    assert "not valid" in str(ending[1])
    with pytest.raises(ValueError, match=r"outputs\.npz"):
        read_arrays(tmp_path, "outputs.npz")
    with pytest.raises(ValueError, match=r"model\.onnx"):
        require_model(tmp_path)


def header(shape: tuple[int, ...], descr: str = "<f4") -> bytes:
    text = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def pack(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def good_archive() -> bytes:
    file = io.BytesIO()
    np.savez(file, a=np.arange(100.0))
    return file.getvalue()


def flip(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]


ARCHIVES = {
    "empty": b"",
    "noise": np.random.default_rng(0).bytes(1000),
    "truncated": good_archive()[:-100],
    "flipped": flip(good_archive(), 500),
    "claims_much": pack({"a.npy": header((1 << 40,)) + bytes(64)}),
    "claims_less": pack({"a.npy": header((2,)) + bytes(64)}),
    "negative": pack({"a.npy": header((-2, 2)) + bytes(16)}),
    "pickle": pack({"a.npy": header((1,), "|O") + bytes(8)}),
    "text": pack({"a.npy": header((2,), "<U2") + bytes(16)}),
    "no_array": pack({"a.npy": b"nothing"}),
    "many": pack({f"{number}.npy": b"" for number in range(10_001)}),
    "bomb": pack({"a.npy": header((30 << 20,), "|u1") + bytes(30 << 20)}),
    "nan": pack({"a.npy": header((1,)) + np.float32(np.nan).tobytes()}),
    "infinite": pack({"a.npy": header((1,)) + np.float32(np.inf).tobytes()}),
}


@pytest.mark.parametrize("content", ARCHIVES.values(), ids=ARCHIVES)
def test_arrays_that_are_not_finite_numbers_of_the_stated_size_are_an_error(
    tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leavings, "ARRAYS_BYTES", 10 << 20)
    (tmp_path / "outputs.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"outputs\.npz"):
        read_arrays(tmp_path, "outputs.npz")


def test_valid_arrays_are_read_as_they_were_written(tmp_path: Path) -> None:
    arrays = {
        "order": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "empty": np.empty((0, 3), np.float32),
        "scalar": np.array(7),
        "flags": np.array([True, False]),
        "weights/w": np.arange(4, dtype=np.float16),
    }
    np.savez(tmp_path / "outputs.npz", **arrays)  # type: ignore[arg-type]
    for name, array in read_arrays(tmp_path, "outputs.npz").items():
        np.testing.assert_array_equal(array, arrays[name])
        assert array.dtype == arrays[name].dtype
        assert array.flags.writeable


@pytest.mark.parametrize(
    "changes",
    [
        {"state": "splendid"},
        {"state": 3},
        {"first_step_s": "12"},
        {"first_step_s": -1.0},
        {"host_peak_bytes": 1234.5},
        {"host_peak_bytes": 10**30},
        {"step_samples_s": []},
        {"step_samples_s": [0.1, 0.0]},
        {"step_samples_s": [0.1, -0.1]},
        {"epochs": [{"epoch": 1, "train_s": 0.0, "steps": 0}]},
        {"receipt": {}},
        {"versions": {"numpy": "x" * 200_000}},
    ],
)
def test_measurements_out_of_their_types_and_ranges_are_a_failure(tmp_path: Path, changes: dict[str, object]) -> None:
    (tmp_path / "measures.json").write_text(json.dumps({"state": "ok", "reason": None} | changes))
    ending = read_measures(tmp_path, TrainMeasurements)
    assert ending is not None
    assert ending[0] == State.FAILED
    assert "the measurements of the worker are not valid" in str(ending[1])
    assert ending[2] == TrainMeasurements()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '"ok"',
        '{"state": "ok"}',
        '{"state": "ok", "reason": null, "first_step_s": NaN}',
        '{"state": "ok", "reason": null, "first_step_s": 1e999}',
        '{"state": "ok", "reason": null, "curve": ' + "[" * 100_000 + "]" * 100_000 + "}",
    ],
    ids=lambda text: text[:40],
)
def test_measures_that_are_not_json_of_the_schema_are_a_failure(tmp_path: Path, text: str) -> None:
    (tmp_path / "measures.json").write_text(text)
    ending = read_measures(tmp_path, TrainMeasurements)
    assert ending is not None
    assert ending[0] == State.FAILED


def test_reasons_are_short_and_have_no_control_characters(tmp_path: Path) -> None:
    reason = "\x1b[2J\x07 title \u202e" + "x" * 50_000
    (tmp_path / "measures.json").write_text(json.dumps({"state": "failed", "reason": reason}))
    ending = read_measures(tmp_path, TrainMeasurements)
    assert ending is not None
    assert str(ending[1]).startswith("\ufffd[2J\ufffd title \ufffdxxx")
    assert len(str(ending[1])) <= leavings.REASON_LENGTH
    (tmp_path / "measures.json").write_text(json.dumps({"state": "failed", "reason": None}))
    ending = read_measures(tmp_path, TrainMeasurements)
    assert ending is not None
    assert ending[1]


def test_a_folder_that_was_replaced_by_a_link_is_not_followed(tmp_path: Path) -> None:
    job, elsewhere = tmp_path / "job", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "measures.json").write_text('{"state": "ok", "reason": null}')
    (elsewhere / "log.txt").write_text("$ command\nsecret")
    job.symlink_to(elsewhere, target_is_directory=True)
    ending = read_measures(job, TrainMeasurements)
    assert ending is not None
    assert ending[0] == State.FAILED
    assert read_log(job) == ""


def test_the_end_of_a_log_is_read_without_the_command(tmp_path: Path) -> None:
    assert read_log(tmp_path) == ""
    (tmp_path / "log.txt").write_bytes(b"$ command\nfirst\n\x1b[31mred\xff\n")
    assert read_log(tmp_path) == "first\n [31mred\ufffd\n"
    assert read_log(tmp_path, 6) == "mred\ufffd\n"


def test_a_shape_is_checked(tmp_path: Path) -> None:
    arrays = {"a": np.zeros((3, 2))}
    assert require_shape(arrays, "a", (None, 2)).shape == (3, 2)
    for name, shape in {"a": (3,), "b": (3, 2)}.items():
        with pytest.raises(ValueError, match=f"{name}"):
            require_shape(arrays, name, shape)


def test_more_samples_than_any_worker_leaves_are_named(tmp_path: Path) -> None:
    for count, state in ((20_000, State.OK), (20_001, State.FAILED)):
        samples = [0.5] * count
        (tmp_path / "measures.json").write_text(json.dumps({"state": "ok", "reason": None, "step_samples_s": samples}))
        ending = read_measures(tmp_path, TrainMeasurements)
        assert ending is not None
        assert ending[0] == state
        assert (state == State.OK) or "step_samples_s has 20001 items" in str(ending[1])
