"""TODO: say what this module is."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import crossframe.backends.reference.model as reference
from crossframe.harness.machine.cache import cache
from crossframe.harness.parity.dialects import relevant
from crossframe.tasks.spec import Arrays, Task


def oracle_path(task: Task, inputs: Path, dialect: Mapping[str, Any], what: str) -> Path:
    """Where something that the oracle worked out is kept: under all that it depends on."""
    code = b"".join(file.read_bytes() for file in sorted(Path(reference.__file__).parent.glob("*.py")))
    parts = (inputs.read_bytes(), code, repr(task).encode(), repr(relevant(task, dialect)).encode())
    key = hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()[:16]
    return cache() / "oracle" / f"{task.name}-{key}-{what}"


def keep_first_epoch(task: Task, inputs: Path, dialect: Mapping[str, Any], weights: Arrays) -> None:
    kept = oracle_path(task, inputs, dialect, "first_epoch.npz")
    kept.parent.mkdir(parents=True, exist_ok=True)
    aside = kept.with_suffix(".part.npz")
    np.savez(aside, **weights)  # type: ignore[arg-type]
    aside.replace(kept)


def first_epoch(task: Task, inputs: Path, dialect: Mapping[str, Any]) -> Arrays:
    """The weights that the float64 oracle has after the first epoch; kept, since it is slow and never changes."""
    kept = oracle_path(task, inputs, dialect, "first_epoch.npz")
    if not kept.exists():
        with np.load(inputs, allow_pickle=False) as data:
            weights = {name: data[f"weights/{name}"] for name in task.parameters()}
            oracle = reference.prepare(task, weights, "cpu", dialect=dialect)
            x, y = data["x_train"], data["y_train"]
            oracle.train([oracle.put(x[rows], y[rows]) for rows in data["order"][0]])
        keep_first_epoch(task, inputs, dialect, oracle.weights())
    with np.load(kept, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}
