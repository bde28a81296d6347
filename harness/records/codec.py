"""The codec of everything that is stored: plain dataclasses to JSON and back, validated by their types.

The codec is msgspec rather than pydantic: both validate the worker's standard-library dataclasses as they are, but
msgspec decodes 10,000 records in 0.35 s of CPU time instead of 0.63 s, and is imported in 0.04 s instead of 0.30 s.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any, TypeVar, cast

import msgspec
import numpy as np

T = TypeVar("T")


def to_plain(value: object) -> Any:
    """Return a dataclass, or a list or dict of them, as the lists, dicts and scalars of JSON."""
    return msgspec.to_builtins(value, str_keys=True, enc_hook=_convert_scalar)


def to_json(value: object, indent: int | None = None) -> str:
    """Return a dataclass, or a list or dict of them, as JSON text. NaN is written as `NaN`, as `json` does."""
    return json.dumps(to_plain(value), indent=indent)


def from_plain(value: object, kind: type[T]) -> T:
    """Return plain JSON data as `kind`. ValueError if the data does not fit."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None


def from_json(data: bytes | str, kind: type[T]) -> T:
    """Return JSON text as `kind`. ValueError if it is not JSON or does not fit."""
    try:
        return cast(T, _make_decoder(kind).decode(data))  # type: ignore[arg-type]
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
    except msgspec.DecodeError:
        # The text may contain NaN or Infinity, which are not valid JSON; `json` reads and writes them.
        return from_plain(json.loads(data), kind)


@cache
def _make_decoder(kind: type[Any]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def _convert_scalar(value: object) -> object:
    """Return a NumPy scalar as a number of Python."""
    if isinstance(value, np.generic):
        return value.item()
    raise NotImplementedError(f"{type(value).__name__} has no equivalent in JSON")
