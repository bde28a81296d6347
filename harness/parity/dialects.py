"""TODO: say what this module is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crossframe.tasks.spec import Task


def spoken(dialect: Mapping[str, Any], precision: str) -> dict[str, Any]:
    """The words of a dialect that hold in a precision: what is done in float32 beside float32 is not beside float64."""
    return {word: value for word, value in dialect.items() if (word, precision) != ("adam_correction", "float64")}


def relevant(task: Task, dialect: Mapping[str, Any]) -> dict[str, Any]:
    """The words of a dialect that can change a training: so that backends share the oracle's work where they agree."""
    kind = type(task.optimizer).__name__.lower()
    words = {word for word in dialect if word.startswith(f"{kind}_")}
    if kind == "sgd" and task.schedule is not None:
        words.add("momentum_rate")
    if task.clip_norm is not None:
        words.add("clip_epsilon")
    return {word: dialect[word] for word in sorted(words & dialect.keys())}
