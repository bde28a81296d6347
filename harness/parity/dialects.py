"""The part of a declared dialect that applies in a precision, and the part that applies to a task."""

from __future__ import annotations

from crossframe.backends.contract import Dialect
from crossframe.tasks.spec import BatchNorm, LeakyReLU, Task

# Settings that differ from the spec below float64 only: what a framework computes in float32 beside float32 weights.
NOT_IN_FLOAT64 = frozenset({"adam_correction"})


def dialect_in(dialect: Dialect, precision: str) -> dict[str, str | float]:
    """Return the settings of a dialect that apply in a precision."""
    dropped = NOT_IN_FLOAT64 if precision == "float64" else frozenset()
    return {name: value for name, value in dialect.items() if name not in dropped}


def dialect_for(task: Task, dialect: Dialect) -> dict[str, str | float]:
    """Return the settings of a dialect that can change the training of a task, sorted by name.

    Backends that agree in these settings share the results of the reference model.
    """
    kind = type(task.optimizer).__name__.lower()
    names = {name for name in dialect if name.startswith(f"{kind}_")}
    if kind == "sgd" and task.schedule is not None:
        names.add("momentum_rate")
    if task.clip_norm is not None:
        names.add("clip_epsilon")
    if task.has(BatchNorm):
        names |= {"running_variance", "running_momentum"}
    return {name: dialect[name] for name in sorted(names & dialect.keys())} | dialect_for_outputs(task, dialect)


def dialect_for_outputs(task: Task, dialect: Dialect) -> dict[str, str | float]:
    """Return the settings of a dialect that can change the outputs of a task that is not trained."""
    name = "leaky_relu_slope"
    return {name: dialect[name]} if task.has(LeakyReLU) and name in dialect else {}
