"""What a dialect changes: the oracle trained to the end in a framework's dialect, and in the words of the spec."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import crossframe.backends.reference.model as reference
from crossframe.harness.parity.dialects import relevant
from crossframe.harness.parity.reference_cache import oracle_path
from crossframe.harness.worker import quality
from crossframe.tasks.spec import Task


def path_of(task: Task, inputs: Path, words: Mapping[str, Any]) -> Path:
    return oracle_path(task, inputs, words, "trained.json")


def trained_quality(task: Task, inputs: Path, words: Mapping[str, Any]) -> float:
    """The held-out quality of the float64 oracle after all epochs; kept, since it takes up to minutes."""
    kept = path_of(task, inputs, words)
    if not kept.exists():
        with np.load(inputs, allow_pickle=False) as stored:
            data = {name: stored[name] for name in stored.files}
        weights = {name: data[f"weights/{name}"] for name in task.parameters()}
        oracle = reference.prepare(task, weights, "cpu", dialect=words)
        for order in data["order"]:
            oracle.train([oracle.put(data["x_train"][rows], data["y_train"][rows]) for rows in order])
        found = quality.measure(task.loss, oracle.predict(data["x_test"]), data["y_test"])[task.quality]
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(found))
    return float(json.loads(kept.read_text()))


def effect(task: Task, inputs: Path, dialect: Mapping[str, Any], work: bool) -> dict[str, Any] | None:
    """{words, quality, spec, dialect}: the words that concern this task, and the quality with and without them.

    None where no word concerns it. The two figures are None where they were never worked out and `work` is not set.
    """
    words = relevant(task, dialect)
    if not words:
        return None
    sides: dict[str, float | None] = {"spec": None, "dialect": None}
    if work or all(path_of(task, inputs, side).exists() for side in ({}, words)):
        sides = {"spec": trained_quality(task, inputs, {}), "dialect": trained_quality(task, inputs, words)}
    return {"words": words, "quality": task.quality, **sides}


def described(backend: str, task: str, found: Mapping[str, Any]) -> str:
    """One line: what a backend's dialect does to a task."""
    words = ", ".join(f"{word} = {value}" for word, value in found["words"].items())
    if found["spec"] is None:
        return f"{task} in {backend}'s dialect ({words}): its effect was not worked out; crossframe parity --effects"
    change = found["dialect"] - found["spec"]
    return (
        f"{task} in {backend}'s dialect ({words}): {found['quality']} {found['dialect']:.6f}, "
        f"in the spec's words {found['spec']:.6f}, a change of {change:+.1e} (float64 oracle, trained to the end)"
    )
