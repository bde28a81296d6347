"""Results of the reference model that are slow to compute, stored in the cache folder."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

import crossframe.backends.reference.model as reference
from crossframe.backends.contract import Dialect
from crossframe.harness.files import digest, write_atomically
from crossframe.harness.machine.cache import cache_folder
from crossframe.harness.parity.dialects import dialect_for
from crossframe.tasks.spec import Arrays, Task

REFERENCE_FOLDER = Path(reference.__file__).parent


def cache_path(task: Task, inputs: Path, dialect: Dialect, name: str) -> Path:
    """Return the path of a result of the reference model.

    It depends on the inputs, the code of the reference model, the task, and the settings of the dialect that apply to
    the task.
    """
    content = hashlib.sha256(inputs.read_bytes()).hexdigest()
    parts = (content, digest(REFERENCE_FOLDER), repr(task), repr(dialect_for(task, dialect)))
    key = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
    return cache_folder() / "reference" / f"{task.name}-{key}-{name}"


def first_epoch_path(task: Task, inputs: Path, dialect: Dialect) -> Path:
    """Return the path of the weights after the first epoch."""
    return cache_path(task, inputs, dialect, "first_epoch.npz")


def store_first_epoch(task: Task, inputs: Path, dialect: Dialect, weights: Arrays) -> None:
    """Store the weights that the float64 reference model has after the first epoch."""
    write_atomically(first_epoch_path(task, inputs, dialect), weights)


def compute_first_epoch(task: Task, inputs: Path, dialect: Dialect) -> Arrays:
    """Return the weights that the float64 reference model has after the first epoch, from the cache if they are there.

    `inputs` is the archive of a run with data, initial weights and order of batches.
    """
    path = first_epoch_path(task, inputs, dialect)
    if not path.exists():
        with np.load(inputs, allow_pickle=False) as data:
            weights = {name: data[f"weights/{name}"] for name in task.parameters()}
            model = reference.prepare(task, weights, "cpu", dialect=dialect)
            x, y = data["x_train"], data["y_train"]
            model.train([model.put(x[rows], y[rows]) for rows in data["order"][0]])
        write_atomically(path, model.weights())
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}
