"""Effects of dialects: the final quality of the reference model in a framework's dialect, and without it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

import crossframe.backends.reference.model as reference
from crossframe.backends.contract import Dialect
from crossframe.harness.files import write_atomically
from crossframe.harness.machine.cache import read_cached
from crossframe.harness.parity.dialects import dialect_for
from crossframe.harness.parity.reference_cache import cache_path
from crossframe.harness.records.model import DialectEffect
from crossframe.harness.worker import quality
from crossframe.tasks.spec import Task


def quality_path(task: Task, inputs: Path, dialect: Dialect) -> Path:
    """Return the path of the final quality of the reference model in the cache."""
    return cache_path(task, inputs, dialect, "trained.json")


def compute_trained_quality(task: Task, inputs: Path, dialect: Dialect) -> float:
    """Return the held-out quality of the float64 reference model after all epochs, from the cache if it is there.

    The training takes up to minutes.
    """
    path = quality_path(task, inputs, dialect)
    kept = read_cached(path, float)
    if kept is None:
        with np.load(inputs, allow_pickle=False) as stored:
            data = {name: stored[name] for name in stored.files}
        weights = {name: data[f"weights/{name}"] for name in task.arrays()}
        model = reference.prepare(task, weights, "cpu", dialect=dialect)
        for order in data["order"]:
            model.train([model.put(data["x_train"][rows], data["y_train"][rows]) for rows in order])
        metrics = quality.compute_quality(task.loss, model.predict(data["x_test"]), data["y_test"])
        kept = float(metrics[task.quality])
        write_atomically(path, json.dumps(kept))
    return kept


def dialect_effect(task: Task, inputs: Path, dialect: Dialect, compute: bool) -> DialectEffect | None:
    """Return the effect of a dialect on a task; None if no setting of the dialect applies to the task.

    Unless `compute` is set, its two values are None if they are not in the cache.
    """
    settings = dialect_for(task, dialect)
    if not settings:
        return None
    if not compute and not all(quality_path(task, inputs, side).exists() for side in ({}, settings)):
        return DialectEffect(settings, task.quality, None, None)
    spec, changed = (compute_trained_quality(task, inputs, side) for side in ({}, settings))
    return DialectEffect(settings, task.quality, spec, changed)


def describe_effect(backend: str, task: str, effect: DialectEffect) -> str:
    """Return one line about the effect of a backend's dialect on a task."""
    settings = ", ".join(f"{name} = {value}" for name, value in effect.words.items())
    if effect.spec is None or effect.dialect is None:
        return (
            f"{task} in the dialect of {backend} ({settings}): the effect was not computed; "
            "run crossframe parity --dialect-effects"
        )
    return (
        f"{task} in the dialect of {backend} ({settings}): {effect.quality} {effect.dialect:.6f}, "
        f"without it {effect.spec:.6f}, a change of {effect.dialect - effect.spec:+.1e} "
        "(float64 reference model, trained to the end)"
    )
