"""The specifications of tasks in stored runs, which may be damaged or of another program."""

from __future__ import annotations

import math
from dataclasses import fields, is_dataclass
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

from crossframe.tasks.spec import Task, from_json

MOST_PARAMETERS = 10**10


def check_spec(stored: Any) -> None:
    """Raise ValueError unless this is the specification of a task, as `crossframe.tasks.spec.to_json` writes it."""
    try:
        task = from_json(stored)
        if not isinstance(task, Task):
            raise ValueError(f"it is of the class {type(task).__name__}")
        if not task.layers:
            raise ValueError("it has no layers")
        _check_types(task)
        sizes = [size for shape in (task.input_shape, *task.parameters().values()) for size in shape]
        if min([task.batch_size, task.epochs, task.evaluate_every, *sizes]) < 1:
            raise ValueError("a size in it is less than 1")
        if sum(math.prod(shape) for shape in task.parameters().values()) > MOST_PARAMETERS:
            raise ValueError(f"it has more than {MOST_PARAMETERS} parameters")
    except (TypeError, ValueError, AttributeError, KeyError, IndexError, RecursionError) as error:
        raise ValueError(f"the specification of a task is not valid: {error}") from None


def _check_types(part: Any) -> None:
    hints = get_type_hints(type(part))
    for field in fields(part):
        value = getattr(part, field.name)
        nested = [item for item in (value if isinstance(value, tuple) else (value,)) if is_dataclass(item)]
        for item in nested:
            _check_types(item)
        hint = hints[field.name]
        # msgspec knows neither unions of several dataclasses, such as schedules, nor the protocol of layers.
        is_allowed = (value is None and NoneType in get_args(hint)) or (value == () and get_origin(hint) is tuple)
        if not nested and not is_allowed:
            msgspec.convert(value, hint)
