"""Tasks as plain JSON: an object holds the name of its class under `type`."""

from __future__ import annotations

import dataclasses
from typing import Any

from crossframe.tasks.spec.activations import ELU, GELU, LeakyReLU, ReLU, Sigmoid, SiLU, Softplus, Tanh
from crossframe.tasks.spec.composition import Residual
from crossframe.tasks.spec.images import AveragePool2D, Conv2D, GlobalAveragePool, MaxPool2D
from crossframe.tasks.spec.layers import LSTM, Dense, Flatten, LastStep
from crossframe.tasks.spec.normalization import BatchNorm
from crossframe.tasks.spec.task import Task
from crossframe.tasks.spec.training import SGD, AdaGrad, Adam, CosineSchedule, EarlyStopping, RMSProp, StepSchedule

_CLASSES: dict[str, type] = {
    cls.__name__: cls
    for cls in (
        Task, Dense, Conv2D, MaxPool2D, AveragePool2D, GlobalAveragePool, Flatten, LSTM, LastStep, BatchNorm, Residual,
        ReLU, LeakyReLU, ELU, Sigmoid, Tanh, SiLU, GELU, Softplus,
        SGD, Adam, AdaGrad, RMSProp, StepSchedule, CosineSchedule, EarlyStopping,
    )
}  # fmt: skip
# Key in stored runs of version 1 -> current key.
_OLD_KEYS = {"is": "type", "scaling": "normalization"}


def to_json(part: Any) -> Any:
    """Return a task, or any part of one, as plain JSON."""
    if dataclasses.is_dataclass(part):
        values = {field.name: to_json(getattr(part, field.name)) for field in dataclasses.fields(part)}
        return {"type": type(part).__name__, **values}
    return [to_json(item) for item in part] if isinstance(part, tuple) else part


def from_json(part: Any) -> Any:
    """Return the task, or part of one, that `to_json` converted; ValueError for an unknown class.

    Tasks in stored runs of version 1 are read too.
    """
    if isinstance(part, list):
        return tuple(from_json(item) for item in part)
    if not isinstance(part, dict):
        return part
    values: dict[str, Any] = {_OLD_KEYS.get(str(name), str(name)): from_json(value) for name, value in part.items()}
    name = values.pop("type", None)
    if name not in _CLASSES:
        raise ValueError(f"the task specification has no class {name!r}; it has {', '.join(_CLASSES)}")
    return _CLASSES[name](**values)
