"""MNIST: 60,000 handwritten digits to train on and 10,000 held out, 28 x 28 pixels. LeCun, Cortes and Burges 1998.

Four gzip files in the IDX format: two zero bytes, the type of the values (8: unsigned byte), the number of axes, the
length of each axis as a big-endian 32-bit integer, then the values.
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
URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"
CHECKSUMS = {
    "train-images-idx3-ubyte.gz": "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "md5:d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "md5:9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "md5:ec29112dd5afa0611ce80d1b7f02629c",
}


def load(folder: Path | None = None) -> Split:
    """Images (n, 1, 28, 28) uint8, in the official split; from `folder`, if one is given."""
    return Split(*half("train", folder), *half("t10k", folder))


def half(name: str, folder: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, 1, 28, 28) uint8 and labels (n,) int64 of one half, `train` or `t10k`."""
    paths = [
        obtain(file, URL + file, CHECKSUMS[file], folder)
        for file in (f"{name}-images-idx3-ubyte.gz", f"{name}-labels-idx1-ubyte.gz")
    ]
    images, labels = read_idx(paths[0], axes=3), read_idx(paths[1], axes=1)
    if images.shape[1:] != (28, 28):
        raise DataError(f"{paths[0]} holds images of {images.shape[1:]}, not (28, 28): get it anew")
    if len(images) != len(labels) or labels.max(initial=0) > 9:
        raise DataError(f"{paths[1]} does not hold a label of 0 to 9 for each of {len(images)} images: get it anew")
    return images[:, np.newaxis], labels.astype(np.int64)


def read_idx(path: Path, axes: int) -> np.ndarray:
    """The unsigned bytes of a gzip IDX file with that many axes."""
    try:
        content = gzip.decompress(path.read_bytes())
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path} is not a whole gzip file ({error}): get it anew") from error
    magic, header = bytes([0, 0, 8, axes]), 4 + 4 * axes
    if content[:4] != magic or len(content) < header:
        raise DataError(
            f"{path} is no IDX file of unsigned bytes on {axes} axes: it begins with {content[:4].hex()}, "
            f"not {magic.hex()}"
        )
    shape = [int(length) for length in np.frombuffer(content, ">u4", axes, offset=4)]
    if len(content) - header != math.prod(shape):
        raise DataError(f"{path} says {shape} in its header, but holds {len(content) - header} values: get it anew")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)
