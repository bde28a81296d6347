"""Small files in the formats of MNIST and CIFAR-10."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import tarfile
from pathlib import Path
from typing import Any

import numpy as np


def encode_idx(values: np.ndarray) -> bytes:
    return bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


def make_mnist_files(train: int = 70, held_out: int = 20) -> dict[str, bytes]:
    """Return name -> content of the four files, with random pixels in the inner 20 x 20."""
    generator = np.random.default_rng(0)
    files = {}
    for part, count in (("train", train), ("t10k", held_out)):
        pixels = np.zeros((count, 28, 28), np.uint8)
        pixels[:, 4:24, 4:24] = generator.integers(0, 256, (count, 20, 20))
        files[f"{part}-images-idx3-ubyte.gz"] = gzip.compress(encode_idx(pixels))
        files[f"{part}-labels-idx1-ubyte.gz"] = gzip.compress(
            encode_idx(generator.integers(0, 10, count).astype(np.uint8))
        )
    return files


# The implementation in Python: only there can the encoding of a type be changed.
Pickler: Any = pickle._Pickler  # type: ignore[attr-defined]


class Python2Pickler(Pickler):  # type: ignore[misc]
    """A pickler that writes bytes as Python 2 wrote strings, as in the files of CIFAR-10."""

    def save_string(self, value: bytes) -> None:
        short = len(value) < 256
        self.write(pickle.SHORT_BINSTRING if short else pickle.BINSTRING)
        self.write(struct.pack("<B" if short else "<i", len(value)) + value)
        self.memoize(value)

    dispatch = Pickler.dispatch | {bytes: save_string}


def pickle_as_python_2(value: Any) -> bytes:
    """Return a pickle like the original ones: protocol 2, strings of Python 2, the modules of NumPy 1."""
    stream = io.BytesIO()
    Python2Pickler(stream, protocol=2).dump(value)
    return stream.getvalue().replace(b"cnumpy._core.", b"cnumpy.core.")


def pickle_as_python_3(value: Any) -> bytes:
    return pickle.dumps(value, protocol=2)


def make_batch(number: int, count: int = 6) -> dict[bytes, Any]:
    generator = np.random.default_rng(number)
    return {
        b"batch_label": b"a batch of the test",
        b"labels": generator.integers(0, 10, count).tolist(),
        b"data": generator.integers(0, 256, (count, 3072), np.uint8),
        b"filenames": [b"a.png"] * count,
    }


def make_cifar_members(dump: Any = pickle_as_python_2) -> dict[str, bytes]:
    """Return name -> content of all members, in the order of the original tarball, which is not by number."""
    numbers = {
        "data_batch_4": 4,
        "test_batch": 6,
        "data_batch_3": 3,
        "data_batch_2": 2,
        "data_batch_5": 5,
        "data_batch_1": 1,
    }
    members = {f"cifar-10-batches-py/{name}": dump(make_batch(number)) for name, number in numbers.items()}
    return members | {"cifar-10-batches-py/readme.html": b"<p>", "cifar-10-batches-py/batches.meta": b"not read"}


def make_tarball(members: dict[str, bytes], *extra: tarfile.TarInfo) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        folder = tarfile.TarInfo("cifar-10-batches-py")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for member in extra:
            tar.addfile(member)
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def write_files(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder
