"""The border between a worker and the harness: everything that a worker left is opened and validated here, once.

A worker runs the code of someone else, and may leave anything: no file, a torn one, a pipe, a link, text for a number.
The reader gets a typed value, or a `DamagedFileError` or `ValueError` that says what is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from crossframe.harness.errors import DamagedFileError
from crossframe.harness.files import MEGABYTE, open_file, read_archive, read_file
from crossframe.harness.records.checks import check_values
from crossframe.harness.records.codec import from_json
from crossframe.harness.worker.states import State
from crossframe.tasks.spec import Arrays

M = TypeVar("M")

MEASURES = "measures.json"
MEASURES_BYTES = 2 * MEGABYTE  # the longest trainings leave a tenth of it
ARRAYS_BYTES = 128 * MEGABYTE  # most of the arrays of one archive, unless the caller knows how large they must be
MODEL_BYTES = 2048 * MEGABYTE  # most of a file of protobuf, as ONNX files are
REASON_LENGTH = 2000  # characters
NUMBERS = "biuf"  # kinds of the types of arrays


@dataclass(frozen=True)
class Ending:
    """The part of `measures.json` that jobs of all kinds have."""

    state: State
    reason: str | None


def read_measures(folder: Path, kind: type[M]) -> tuple[State, str | None, M] | None:
    """Return the state, the reason and the measurements that a worker left; None if it left none.

    Measurements that are not valid count as a failure of the worker.
    """
    try:
        content = read_left(folder, MEASURES, MEASURES_BYTES)
        ending, measurements = from_json(content, Ending), from_json(content, kind)
        check_values(measurements)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        return State.FAILED, f"the measurements of the worker are not valid: {error}"[:REASON_LENGTH], kind()
    reason = ending.reason
    if ending.state != State.OK:
        reason = (reason or "the worker gave no reason")[:REASON_LENGTH]
    return ending.state, reason, measurements


def read_left(folder: Path, name: str, most_bytes: int) -> bytes:
    """Return the content of a file that a worker left."""
    require_folder(folder)
    return read_file(folder / name, most_bytes)


def read_arrays(folder: Path, name: str, finite: bool = True, most_bytes: int | None = None) -> Arrays:
    """Return the arrays that a worker left. DamagedFileError unless all are numbers, which must be `finite`."""
    require_folder(folder)
    arrays = read_archive(folder / name, most_bytes or ARRAYS_BYTES)
    for key, array in arrays.items():
        if array.dtype.kind not in NUMBERS or (finite and not np.isfinite(array).all()):
            raise DamagedFileError(f"{name}: the array {key} has values that are not finite numbers")
    return arrays


def require_shape(arrays: Arrays, name: str, shape: tuple[int | None, ...]) -> np.ndarray:
    """Return an array. ValueError if it is missing or has another shape; None stands for any length of an axis."""
    if name not in arrays:
        raise ValueError(f"the worker left no array {name}")
    actual = arrays[name].shape
    if len(actual) != len(shape) or any(size not in (None, length) for size, length in zip(shape, actual)):
        raise ValueError(f"the array {name} has the shape {actual}, not {shape}")
    return arrays[name]


def require_model(folder: Path, name: str = "model.onnx") -> Path:
    """Return the path of an ONNX file that a worker left. DamagedFileError unless it is a regular file."""
    require_folder(folder)
    with open_file(folder / name, MODEL_BYTES):
        return folder / name


def read_log(folder: Path, most_bytes: int = MEGABYTE) -> str:
    """Return the last bytes of the log of a worker, without its first line, the command; "" if there is none."""
    try:
        require_folder(folder)
        with open_file(folder / "log.txt", 1 << 62) as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - most_bytes))
            text = file.read(most_bytes).decode(errors="replace")
    except (OSError, ValueError):
        return ""
    text = text if size > most_bytes else text.partition("\n")[2]
    return "".join(character if character.isprintable() or character == "\n" else " " for character in text)


def require_folder(folder: Path) -> None:
    """Raise DamagedFileError unless the folder of a job is still a folder."""
    if folder.is_symlink() or not folder.is_dir():
        raise DamagedFileError(f"the folder {folder.name} of the job is gone or was replaced")
