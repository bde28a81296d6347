"""Results of the reference model that are slow to compute, stored in the cache folder."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import crossframe.backends.reference.model as reference
import crossframe.tasks.spec
from crossframe.backends.contract import Dialect
from crossframe.harness.files import digest, digest_content, write_atomically
from crossframe.harness.machine.cache import cache_folder
from crossframe.harness.parity.dialects import dialect_for
from crossframe.harness.worker import trainings
from crossframe.tasks.spec import Arrays, Task

REFERENCE_FOLDER = Path(reference.__file__).parent
# The other code that the result of a training depends on.
CODE = (
    Path(trainings.__file__),
    Path(crossframe.tasks.spec.__path__[0]),
    *(Path(__file__).with_name(name) for name in ("reference_cache.py", "reference_traces.py", "job_references.py")),
)


def cache_path(task: Task, inputs: Path, dialect: Dialect, name: str) -> Path:
    """Return the path of a result of the reference model.

    It depends on the inputs, the code of the reference model, the task, and the settings of the dialect that apply to
    the task.
    """
    content = digest_content(inputs)
    parts = (content, digest(REFERENCE_FOLDER), repr(task), repr(dialect_for(task, dialect)))
    key = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
    return cache_folder() / "reference" / f"{task.name}-{key}-{name}"


def training_path(task: Task, inputs: Path, dialect: Dialect, training: str) -> Path:
    """Return the path of the weights of a training of `crossframe.harness.worker.trainings`."""
    return cache_path(task, inputs, dialect, f"{training.replace(' ', '_')}-{digest(*CODE)[:8]}.npz")


def store_training(path: Path, traces: Arrays, start: Arrays, compared: Sequence[int]) -> Arrays:
    """Store the part of `weights/<updates>/<parameter>` that `crossframe.harness.parity.checks` needs, and return it.

    These are the weights after the updates in `compared`, and each parameter when it was furthest from its start.
    """
    kept: Arrays = {}
    for name, value in start.items():
        keys = [key for key in traces if key.startswith("weights/") and key.split("/", 2)[2] == name]
        distances = [(float(np.linalg.norm(traces[key] - value)), int(key.split("/")[1])) for key in keys]
        for updates in compared:
            furthest = max((distance, step) for distance, step in distances if step <= updates)[1]
            kept |= {f"weights/{step}/{name}": traces[f"weights/{step}/{name}"] for step in (updates, furthest)}
    write_atomically(path, kept)
    return kept
