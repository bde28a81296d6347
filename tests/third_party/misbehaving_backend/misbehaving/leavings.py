"""What a misbehaving job leaves in its folder: name of the mode -> what it does to the folder."""

from __future__ import annotations

import io
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

Ending = Callable[[Path], object]
HUGE = 1 << 40  # bytes, of a file without content
REPLAY = ("measured_s", "replayed_s", "measured_processor_s", "replayed_processor_s")


def replace_by(name: str, make: Callable[[Path], object]) -> Ending:
    """Return an ending that removes a file, and makes something else of its name."""

    def end(folder: Path) -> None:
        (folder / name).unlink()
        make(folder / name)

    return end


def write(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def make_sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(HUGE)


def truncate(name: str, share: float) -> Ending:
    return lambda folder: os.truncate(folder / name, int((folder / name).stat().st_size * share))


def flip_bits(name: str, at: float) -> Ending:
    """Return an ending that changes some bytes of a file, at a share of its length."""

    def end(folder: Path) -> None:
        content = bytearray((folder / name).read_bytes())
        start = int(len(content) * at)
        content[start : start + 8] = bytes(byte ^ 0xFF for byte in content[start : start + 8])
        (folder / name).write_bytes(content)

    return end


def set_measure(*path: str, value: object) -> Ending:
    """Return an ending that changes one value of `measures.json`."""

    def end(folder: Path) -> None:
        file = folder / "measures.json"
        document = json.loads(file.read_text())
        target: Any = document
        for key in path[:-1]:
            target = target[key]
        target[path[-1]] = value
        file.write_text(json.dumps(document))

    return end


def drop_measure(name: str) -> Ending:
    def end(folder: Path) -> None:
        file = folder / "measures.json"
        document = json.loads(file.read_text())
        del document[name]
        file.write_text(json.dumps(document))

    return end


def change_array(archive: str, key: str, change: Callable[[np.ndarray], Any] | None) -> Ending:
    """Return an ending that changes an array of an archive; None removes it."""

    def end(folder: Path) -> None:
        path = folder / archive
        with np.load(path) as stored:
            arrays = {name: stored[name] for name in stored.files}
        if change is None:
            del arrays[key]
        else:
            arrays[key] = change(arrays[key])
        np.savez(path, **arrays)  # type: ignore[arg-type]

    return end


def write_header(shape: tuple[int, ...], descr: str = "<f4") -> bytes:
    """Return a file of NumPy whose header states a shape that its content does not have."""
    text = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + b"\0" * 64


def write_zip(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def write_bomb(path: Path) -> None:
    """Write a small archive whose one array has 8 GB."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("outputs.npy", "w") as member:
        member.write(write_header((2 << 30,))[:128])
        for _ in range(256):
            member.write(bytes(1 << 20))


def nest(depth: int) -> bytes:
    return b'{"state": "ok", "reason": null, "receipt": ' + b"[" * depth + b"]" * depth + b"}"


def remove_folder(folder: Path) -> None:
    shutil.rmtree(folder)


def swap_folder(folder: Path) -> None:
    """Replace the folder of the job by a link to the folder above it."""
    shutil.rmtree(folder)
    folder.symlink_to(folder.parent, target_is_directory=True)


def fill_log(_: Path) -> None:
    """Write 200 MB to the log."""
    for _megabyte in range(200):
        os.write(1, b"0123456789abcde\n" * 65536)


def add_array(archive: str, megabytes: int) -> Ending:
    """Return an ending that adds an array to an archive, whose other arrays stay as they are."""

    def end(folder: Path) -> None:
        path = folder / archive
        with np.load(path) as stored:
            arrays = {name: stored[name] for name in stored.files}
        np.savez(path, extra=np.ones(megabytes << 18, np.float32), **arrays)  # type: ignore[arg-type]

    return end


def make_constant(value: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda array: np.full_like(array, value)


def forbid(name: str, folder: Path) -> None:
    (folder / name).chmod(0)


def write_controls(folder: Path) -> None:
    os.write(1, b"\x1b[2J\xff\x00\x07\n")
    (folder / "measures.json").unlink()


FILES = ("measures.json", "outputs.npz", "checks.npz", "model.onnx")
ENDINGS: dict[str, Ending] = {}
for file in FILES:
    short = file.partition(".")[0]
    ENDINGS |= {
        f"{short}_missing": replace_by(file, lambda path: None),
        f"{short}_empty": replace_by(file, write(b"")),
        f"{short}_truncated": truncate(file, 0.5),
        f"{short}_flipped": flip_bits(file, 0.4),
        f"{short}_flipped_at_end": flip_bits(file, 0.95),
        f"{short}_pipe": replace_by(file, os.mkfifo),
        f"{short}_zero_device": replace_by(file, lambda path: path.symlink_to("/dev/zero")),
        f"{short}_link": replace_by(file, lambda path: path.symlink_to("/etc/passwd")),
        f"{short}_link_loop": replace_by(file, lambda path: path.symlink_to(path.name)),
        f"{short}_folder": replace_by(file, Path.mkdir),
        f"{short}_sparse": replace_by(file, make_sparse),
        f"{short}_forbidden": partial(forbid, file),
        f"{short}_noise": replace_by(file, write(np.random.default_rng(0).bytes(5000))),
    }
VALUES: dict[str, object] = {
    "text": "12",
    "list": [1],
    "object": {"a": 1},
    "nan": float("nan"),
    "infinite": float("inf"),
    "negative": -1.5,
    "huge": 10**400,
    "true": True,
    "null": None,
}
for name, value in VALUES.items():
    for measure in ("first_step_s", "host_peak_bytes", "step_samples_s", "epochs", "receipt"):
        ENDINGS[f"{measure}_{name}"] = set_measure(measure, value=value)
for name, value in {"unknown": "splendid", "number": 3, "null": None, "list": []}.items():
    ENDINGS[f"state_{name}"] = set_measure("state", value=value)
ENDINGS |= {
    "state_missing": drop_measure("state"),
    "reason_number": set_measure("reason", value=12),
    "reason_controls": set_measure("reason", value="\x1b[2J\x1b]0;title\x07 \u202e\r\n<script>alert(1)</script>"),
    "failed_without_reason": set_measure("state", value="failed"),
    "reason_long": lambda folder: (
        set_measure("state", value="failed")(folder),
        set_measure("reason", value="x" * 5_000_000)(folder),
    ),
    "name_of_version_controls": set_measure("versions", value={"\x1b[31m|<b>": "=1+1|\x1b[0m"}),
    "key_unknown": set_measure("surprise", value=[1, 2, 3]),
    "peak_fraction": set_measure("host_peak_bytes", value=1234.5),
    "export_result_missing": drop_measure("export"),
    "export_result_null": set_measure("export", value=None),
    "curve_empty": set_measure("curve", value=[]),
    "curve_other": set_measure("curve", value=[{"epoch": 1, "loss": 1e308, "quality": {"=1+1": 1e308}, "train_s": 0}]),
    "epochs_empty": set_measure("epochs", value=[]),
    "epoch_without_steps": set_measure("epochs", value=[{"epoch": 1, "train_s": 0.0, "steps": 0}]),
    "samples_empty": set_measure("step_samples_s", value=[]),
    "samples_zero": set_measure("step_samples_s", value=[0.0, 0.0]),
    "samples_many": set_measure("step_samples_s", value=[0.001] * 1_000_000),
    "replayed_zero": set_measure("replayed_step", value=dict.fromkeys(REPLAY, 0.0)),
    "replayed_missing": drop_measure("replayed_epoch"),
    "put_missing": drop_measure("changed_by_put"),
    "measures_deep": replace_by("measures.json", write(nest(100_000))),
    "measures_list": replace_by("measures.json", write(b"[]")),
    "measures_text": replace_by("measures.json", write(b'"ok"')),
    "measures_utf16": replace_by("measures.json", write('{"state": "ok"}'.encode("utf-16"))),
    "measures_bytes": replace_by("measures.json", write(b'{"state": "ok", "reason": "\xff\xfe"}')),
    "measures_twice": lambda folder: (folder / "measures.json").write_text((folder / "measures.json").read_text() * 2),
    "measures_only_state": replace_by("measures.json", write(b'{"state": "ok", "reason": null}')),
}
CHANGES: dict[str, Callable[[np.ndarray], Any]] = {
    "flat": np.ravel,
    "nan": make_constant(np.nan),
    "infinite": make_constant(np.inf),
    "text": lambda array: array.astype(str),
    "complex": lambda array: array.astype(np.complex64),
    "integers": lambda array: array.astype(np.int64),
    "half": lambda array: array[: len(array) // 2],
    "empty": lambda array: array[:0],
    "scalar": lambda array: np.float32(1),
    "objects": lambda array: np.array([{"a": 1}, None], dtype=object),
    "wide": lambda array: np.concatenate([array, array], axis=-1),
}
for name, change in CHANGES.items():
    ENDINGS |= {
        f"answers_{name}": change_array("outputs.npz", "outputs", change),
        f"trained_{name}": change_array("outputs.npz", "weights/dense1.w", change),
        f"check_outputs_{name}": change_array("checks.npz", "single/outputs", change),
        f"check_rows_{name}": change_array("checks.npz", "batch/rows", change),
        f"first_epoch_{name}": change_array("checks.npz", "after_first_epoch/dense1.w", change),
    }
for archive, key in {"answers": "outputs", "trained": "weights/dense1.w"}.items():
    ENDINGS[f"{archive}_dropped"] = change_array("outputs.npz", key, None)
for key in ("single/x", "single/outputs", "batch/rows", "batch/outputs", "after_first_epoch/dense1.w"):
    ENDINGS[f"check_{key.replace('/', '_').replace('.', '_')}_dropped"] = change_array("checks.npz", key, None)
for archive in ("outputs", "checks"):
    file = f"{archive}.npz"
    ENDINGS |= {
        f"{archive}_claims_size": replace_by(file, write(write_zip({"outputs.npy": write_header((1 << 40,))}))),
        f"{archive}_claims_much": replace_by(file, write(write_zip({"outputs.npy": write_header((1 << 62, 4))}))),
        f"{archive}_negative_size": replace_by(file, write(write_zip({"outputs.npy": write_header((-4, 2))}))),
        f"{archive}_pickle": replace_by(file, write(write_zip({"outputs.npy": write_header((1,), "|O")}))),
        f"{archive}_bomb": replace_by(file, write_bomb),
        f"{archive}_many": replace_by(file, write(write_zip({f"{n}.npy": b"" for n in range(20_000)}))),
        f"{archive}_escape": replace_by(file, write(write_zip({"../../outputs.npy": write_header((4, 4))}))),
        f"{archive}_not_arrays": replace_by(file, write(write_zip({"outputs.npy": b"no array", "a.txt": b"text"}))),
        f"{archive}_plain_array": replace_by(file, write(write_header((4, 4)))),
        f"{archive}_encrypted": flip_bits(file, 0.0),
    }
# The largest files that are read: see `crossframe.harness.run.evaluate` and `crossframe.harness.launch.leavings`.
ENDINGS |= {
    "outputs_largest": add_array("outputs.npz", 63),
    "checks_largest": add_array("checks.npz", 63),
    "measures_largest": set_measure("step_samples_s", value=[1.2345678901234567e-3] * 20_000),
    "outputs_larger": add_array("outputs.npz", 65),
}
ENDINGS |= {
    "folder_removed": remove_folder,
    "folder_swapped": swap_folder,
    "folder_read_only": lambda folder: folder.chmod(0o500),
    "folder_forbidden": lambda folder: folder.chmod(0),
    "job_removed": lambda folder: (folder / "job.json").unlink(),
    "log_removed": lambda folder: (folder / "log.txt").unlink(),
    "log_pipe": replace_by("log.txt", os.mkfifo),
    "log_filled": fill_log,
    "log_controls": write_controls,
    "many_files": lambda folder: [(folder / f"file{number}").write_text("") for number in range(20_000)],
    "names_odd": lambda folder: (folder / "\x1b[31m\n<b>").write_text(""),
}
