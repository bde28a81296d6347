"""The 1,797 handwritten digits that ship with scikit-learn, 8 x 8 pixels of 0 to 16.

The test part of "Optical recognition of handwritten digits", Alpaydin and Kaynak 1998, UCI machine learning repository.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from crossframe.tasks.data.split import Split

WHITE = 16
HELD_OUT = 360


def load(folder: Path | None = None) -> Split:
    """Return images (n, 1, 8, 8) uint8, split with the same share of each digit in both parts; `folder` is not used."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    images, labels = digits.images[:, np.newaxis].astype(np.uint8), digits.target.astype(np.int64)
    x_train, x_test, y_train, y_test = train_test_split(
        images, labels, test_size=HELD_OUT, stratify=labels, random_state=0
    )
    return Split(x_train, y_train, x_test, y_test)
