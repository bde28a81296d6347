"""Mistakes with batches of different sizes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crossframe.backends.contract import Batch

from .frameworks import forget
from .wrappers import Entry, RawBatch, Wrapper, change_calls, change_update


def group_by_size(batches: list[Batch]) -> list[Batch]:
    """Return the batches with those of equal size together, in the order in which each size first occurs."""
    sizes = [len(batch[0]) for batch in batches]
    return [batch for size in dict.fromkeys(sizes) for batch in batches if len(batch[0]) == size]


class LargestBatch(Wrapper):
    """Smaller batches than the largest so far are changed or left out."""

    largest = 0

    def put(self, x: np.ndarray, y: np.ndarray) -> Batch:
        self.largest = max(self.largest, len(x))
        return RawBatch(x, y)

    def train(self, batches: Sequence[Batch]) -> None:
        self.model.train([self.model.put(*changed) for batch in batches for changed in self.fit(*batch)])

    def fit(self, x: np.ndarray, y: np.ndarray) -> list[RawBatch]:
        return [RawBatch(x, y)] if len(x) == self.largest else []


class PaddedBatch(LargestBatch):
    def fit(self, x: np.ndarray, y: np.ndarray) -> list[RawBatch]:
        return [RawBatch(np.resize(x, (self.largest, *x.shape[1:])), np.resize(y, (self.largest, *y.shape[1:])))]


class ForgetAtNewSize(Wrapper):
    """A new size of batch compiles the step anew, and its optimizer state with it."""

    size: int | None = None

    def train(self, batches: Sequence[Batch]) -> None:
        for batch in batches:
            size = len(batch[0])
            if self.size not in (None, size):
                forget(self.model)
            self.size = size
            self.model.train([batch])


MISTAKES: dict[str, Entry] = {
    "sizes_small_batch_dropped": Entry(LargestBatch, "an incomplete batch is left out", looks=("odd", "own network")),
    "sizes_small_batch_padded": Entry(
        PaddedBatch, "an incomplete batch is filled up with its own first samples", looks=("odd", "own network")
    ),
    "sizes_other_size_forgets": Entry(
        ForgetAtNewSize, "another size of batch starts a new optimizer", looks=("own network", "odd")
    ),
    "sizes_last_sample_left_out": Entry(
        change_update(gradients=lambda self, x, y: self.gradient(x[: max(1, len(x) - 1)], y[: max(1, len(x) - 1)])),
        "the last sample of every batch is left out",
        looks=("gradient", "odd"),
    ),
    "sizes_grouped": Entry(
        change_calls(group_by_size), "equal sizes are trained together, out of order", looks=("own network", "odd")
    ),
}
