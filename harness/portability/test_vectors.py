"""Inputs and expected outputs of a model file: batches of several sizes, zeros, large numbers and NaN.

A *set* is one batch of inputs with a name. The sets of `HELD_OUT` together contain every held-out sample.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

import crossframe.backends.reference.model as reference_model
from crossframe.harness.files import write_atomically
from crossframe.tasks.spec import Arrays, Task

BATCH_SIZES = (1, 2, 3, 7, 64)
SMALL_SETS = ("batch_1", "batch_2", "batch_3")
HELD_OUT = (*(f"batch_{size}" for size in BATCH_SIZES), "rest", "declared")
LARGE = 1e3  # factor of the set `large`
NAN_ROW = 1  # the sample that is NaN in the set `nan`, a batch of three

Feeds = dict[str, np.ndarray]  # input name -> array


@dataclass(frozen=True)
class ReferenceVectors:
    """Inputs and expected outputs by set; the arrays of a set have first axes of the same length."""

    feeds: dict[str, Feeds]
    expected: dict[str, list[np.ndarray]]  # set -> outputs; lacks the set `nan`, and all sets without a reference
    rows: dict[str, np.ndarray]  # set -> indices of its samples
    layers: dict[str, np.ndarray] = field(default_factory=dict)  # layer -> its expected output for `batch_2`

    def select_small(self) -> ReferenceVectors:
        """Return the sets of the smallest batches only."""
        return ReferenceVectors(
            {name: self.feeds[name] for name in SMALL_SETS},
            {name: self.expected[name] for name in SMALL_SETS},
            {name: self.rows[name] for name in SMALL_SETS},
        )

    def save(self, path: Path) -> Path:
        """Write the inputs to the archive `path`, with keys `set/input`, and return `path`."""
        flat = {f"{name}/{entry}": array for name, feeds in self.feeds.items() for entry, array in feeds.items()}
        write_atomically(path, flat)
        return path


def split_rows(samples: int) -> dict[str, np.ndarray]:
    """Return the indices of each set: consecutive batches, the remaining samples, and all batches as one.

    If there are fewer samples than the batches need, they are repeated.
    """
    rows = np.resize(np.arange(samples), max(samples, sum(BATCH_SIZES)))
    ends = np.cumsum(BATCH_SIZES)
    sets = {f"batch_{size}": rows[end - size : end] for size, end in zip(BATCH_SIZES, ends)}
    if len(rows) > ends[-1]:
        sets["rest"] = rows[ends[-1] :]
    return sets | {"whole": rows[: ends[-1]]}


def vectors_from_samples(inputs: Feeds, outputs: list[np.ndarray] | None) -> ReferenceVectors:
    """Return sets cut from `inputs`, whose first axes are samples, with `outputs` as expected outputs if given."""
    rows = split_rows(len(next(iter(inputs.values()))))
    feeds = {name: {entry: array[indices] for entry, array in inputs.items()} for name, indices in rows.items()}
    expected = {name: [array[indices] for array in outputs] for name, indices in rows.items()} if outputs else {}
    three = {entry: array[rows["whole"][:3]] for entry, array in inputs.items()}
    feeds["zeros"] = {entry: np.zeros_like(array[:2]) for entry, array in three.items()}
    floats = [entry for entry, array in inputs.items() if array.dtype.kind == "f"]
    if floats:
        feeds["large"] = {entry: array[:2].copy() for entry, array in three.items()}
        feeds["nan"] = {entry: array.copy() for entry, array in three.items()}
        for entry in floats:
            feeds["large"][entry] *= LARGE
            feeds["nan"][entry][NAN_ROW] = np.nan
    return ReferenceVectors(feeds, expected, rows)


def vectors_from_batch(inputs: Feeds, outputs: list[np.ndarray] | None) -> ReferenceVectors:
    """Return one set with `inputs` unchanged, for a file that does not accept other shapes."""
    samples = len(next(iter(inputs.values()), ()))  # 0 for a file without inputs
    expected = {"declared": outputs} if outputs else {}
    return ReferenceVectors({"declared": inputs}, expected, {"declared": np.arange(samples)})


def vectors_from_task(task: Task, weights: Arrays, x: np.ndarray) -> ReferenceVectors:
    """Return sets cut from the held-out samples x (samples, *input_shape), with outputs of the reference model."""
    model = reference_model.prepare(task, weights, "cpu")
    vectors = vectors_from_samples({"x": x.astype(np.float32)}, [model.predict(x)])
    unusual = {name: [model.predict(vectors.feeds[name]["x"])] for name in ("zeros", "large")}
    traced = model.trace_layers(vectors.feeds["batch_2"]["x"].astype(np.float64))
    layers = {layer.name: layer.outputs for layer in traced}
    return replace(vectors, expected=vectors.expected | unusual, layers=layers)
