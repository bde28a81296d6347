"""MNIST: 60,000 training and 10,000 held-out handwritten digits, 28 x 28 pixels. LeCun, Cortes and Burges 1998.

The data set is four gzip files in the IDX format: two zero bytes, the type of the values (8: unsigned byte), the number
of axes, the length of each axis as a big-endian 32-bit integer, then the values.
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from crossframe.tasks.data.download import DataError, obtain
from crossframe.tasks.data.split import Split

WHITE = 255
MOST_BYTES = 1 << 28  # of an unpacked file, five times those of the largest
URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"
CHECKSUMS = {
    "train-images-idx3-ubyte.gz": "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "md5:d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "md5:9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "md5:ec29112dd5afa0611ce80d1b7f02629c",
}


def load(folder: Path | None = None) -> Split:
    """Return images (n, 1, 28, 28) uint8 in the official split, from `folder` or downloaded; DataError if damaged."""
    return Split(*load_part("train", folder), *load_part("t10k", folder))


def load_part(name: str, folder: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """Return images (n, 1, 28, 28) uint8 and labels (n,) int64 of one part, `train` or `t10k`."""
    paths = [
        obtain(file, URL + file, CHECKSUMS[file], folder)
        for file in (f"{name}-images-idx3-ubyte.gz", f"{name}-labels-idx1-ubyte.gz")
    ]
    images, labels = read_idx(paths[0], axes=3), read_idx(paths[1], axes=1)
    if images.shape[1:] != (28, 28):
        raise DataError(f"{paths[0]} has images of {images.shape[1:]}, not (28, 28): download it again")
    if len(images) != len(labels) or labels.max(initial=0) > 9:
        raise DataError(f"{paths[1]} has no label of 0 to 9 for each of {len(images)} images: download it again")
    return images[:, np.newaxis], labels.astype(np.int64)


def read_idx(path: Path, axes: int) -> np.ndarray:
    """Return the unsigned bytes of a gzip IDX file with `axes` axes; DataError if it is not one."""
    try:
        with gzip.open(path) as file:
            content = file.read(MOST_BYTES + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path} is not a complete gzip file ({error}): download it again") from error
    if len(content) > MOST_BYTES:
        raise DataError(f"{path} has more than {MOST_BYTES} bytes when it is unpacked: download it again")
    magic, header = bytes([0, 0, 8, axes]), 4 + 4 * axes
    if content[:4] != magic or len(content) < header:
        raise DataError(
            f"{path} is not an IDX file of unsigned bytes with {axes} axes: it begins with {content[:4].hex()}, "
            f"not {magic.hex()}"
        )
    shape = [int(length) for length in np.frombuffer(content, ">u4", axes, offset=4)]
    if len(content) - header != math.prod(shape):
        raise DataError(
            f"{path} has the shape {shape} in its header, but {len(content) - header} values: download it again"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)
