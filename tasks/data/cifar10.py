"""CIFAR-10: 50,000 training and 10,000 held-out photographs, 32 x 32 pixels in colour. Krizhevsky 2009.

The data set is a gzip tarball of pickles. Both formats are dangerous in untrusted files, and an MD5 checksum does not
make a file trusted. Therefore the tarball is read as a stream and never unpacked, and its pickles may use only the
names that arrays of bytes need.
"""

from __future__ import annotations

import codecs
import pickle
import tarfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np

from crossframe.tasks.data.download import DataError, obtain
from crossframe.tasks.data.split import Split

WHITE = 255
MOST_BYTES = 1 << 27  # of a member of the tarball, four times those of the largest
FILE = "cifar-10-python.tar.gz"
URL = f"https://www.cs.toronto.edu/~kriz/{FILE}"
CHECKSUM = "md5:c58f30108f718f92721af3b95e74349a"

FOLDER = "cifar-10-batches-py"
TRAIN = [f"{FOLDER}/data_batch_{number}" for number in range(1, 6)]
HELD_OUT = f"{FOLDER}/test_batch"
UNUSED = {f"{FOLDER}/batches.meta", f"{FOLDER}/readme.html"}

reconstruct = np.ndarray(0).__reduce__()[0]  # its module was renamed in NumPy 2

# (module, name) in a pickle -> the object to use. Everything else is refused.
ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): reconstruct,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): codecs.encode,  # Python 3 pickles bytes in this way for Python 2
}


def load(folder: Path | None = None) -> Split:
    """Return images (n, 3, 32, 32) uint8 in the official split, from `folder` or downloaded; DataError if damaged."""
    path = obtain(FILE, URL, CHECKSUM, folder)
    try:
        batches = read_batches(path)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise DataError(f"{path} is not a complete gzip tarball ({error}): download it again") from error
    if missing := [name for name in (*TRAIN, HELD_OUT) if name not in batches]:
        raise DataError(f"{path} lacks {', '.join(missing)}: download it again")
    x_train, y_train = (np.concatenate(parts) for parts in zip(*(batches[name] for name in TRAIN), strict=True))
    return Split(x_train, y_train, *batches[HELD_OUT])


def read_batches(path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return batch name -> images and labels, of the tarball at `path`; DataError for an unexpected member."""
    batches = {}
    with tarfile.open(path, "r|gz") as tar:
        for member in tar:
            if (member.isdir() and member.name == FOLDER) or (member.isreg() and member.name in UNUSED):
                continue
            if not member.isreg() or member.name not in (*TRAIN, HELD_OUT) or member.name in batches:
                raise DataError(f"{path} contains {member.name!r}, which is not a part of CIFAR-10: download it again")
            if member.size > MOST_BYTES:
                raise DataError(f"{path}: {member.name} has {member.size} bytes, too many: download it again")
            stream = tar.extractfile(member)
            assert stream is not None  # None only for members that are not files
            batches[member.name] = read_batch(stream, f"{path}: {member.name}")
    return batches


def read_batch(stream: IO[bytes], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return images (n, 3, 32, 32) uint8, red, green and blue, and labels (n,) int64 of one pickled batch."""
    try:
        batch = Unpickler(stream, encoding="bytes").load()
        data, labels = batch[b"data"], np.array(batch[b"labels"])
    except Exception as error:  # a damaged pickle may raise anything
        raise DataError(f"{name} cannot be read ({type(error).__name__}: {error}): download it again") from error
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.shape[1:] != (3 * 32 * 32,):
        raise DataError(f"{name} does not have rows of {3 * 32 * 32} unsigned bytes: download it again")
    if labels.dtype != np.int64 or labels.shape != data.shape[:1] or not np.isin(labels, range(10)).all():
        raise DataError(f"{name} does not have a label of 0 to 9 for each of {len(data)} images: download it again")
    return data.reshape(-1, 3, 32, 32), labels


class Unpickler(pickle.Unpickler):
    """An unpickler that refuses all names except those of ALLOWED, and thereby every pickle that runs code."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it uses {module}.{name}, which CIFAR-10 does not")
        return ALLOWED[module, name]
