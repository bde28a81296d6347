"""The codec of everything that is stored: plain dataclasses to JSON and back, validated by their types.

What is read is JSON in the strict sense: NaN, infinite numbers and invalid text are errors. Control characters, which a
terminal would obey, are replaced. What is written is JSON too: a number that is not finite becomes null.

The codec is msgspec rather than pydantic: both validate the worker's standard-library dataclasses as they are, but
msgspec decodes 10,000 records in 0.35 s of CPU time instead of 0.63 s, and is imported in 0.04 s instead of 0.30 s.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any, TypeVar, cast

import msgspec
import numpy as np

T = TypeVar("T")

# Escaped and raw characters that a terminal obeys: all control characters but tabulator and line feed, and those that
# change the direction of text.
_ESCAPED = re.compile(
    r"(?<!\\)((?:\\\\)*)\\(?:u00(?:0[0-8b-f]|1[0-9a-f]|7f|[89][0-9a-f])|u20(?:0[ef]|2[a-e]|6[6-9])|[bfr])",
    re.IGNORECASE,
)
_RAW = re.compile("[\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def to_plain(value: object) -> Any:
    """Return a dataclass, or a list or dict of them, as the lists, dicts and scalars of JSON."""
    return msgspec.to_builtins(value, str_keys=True, enc_hook=_convert_scalar)


def to_json(value: object, indent: int | None = None) -> str:
    """Return a dataclass, or a list or dict of them, as JSON text."""
    plain = to_plain(value)
    try:
        return json.dumps(plain, indent=indent, allow_nan=False)
    except ValueError:
        finite = msgspec.json.decode(msgspec.json.encode(plain))  # writes null for numbers that are not finite
        return json.dumps(finite, indent=indent)


def from_plain(value: object, kind: type[T]) -> T:
    """Return plain JSON data as `kind`. ValueError if the data does not fit."""
    try:
        return msgspec.convert(value, kind)
    except (msgspec.ValidationError, RecursionError) as error:
        raise ValueError(str(error)) from None


def parse(data: bytes | str) -> Any:
    """Return JSON text as lists, dicts and scalars. ValueError if it is not JSON."""
    return from_json(data, Any)  # type: ignore[arg-type]


def from_json(data: bytes | str, kind: type[T]) -> T:
    """Return JSON text as `kind`. ValueError if it is not JSON or does not fit."""
    text = data if isinstance(data, str) else data.decode()
    if "\\" in text:
        text = _ESCAPED.sub("\\1\ufffd", text)
    if not text.isascii():
        text = _RAW.sub("\ufffd", text)
    try:
        return cast(T, _make_decoder(kind).decode(text))  # type: ignore[arg-type]
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(str(error)) from None


@cache
def _make_decoder(kind: type[Any]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def _convert_scalar(value: object) -> object:
    """Return a NumPy scalar as a number of Python."""
    if isinstance(value, np.generic):
        return value.item()
    raise NotImplementedError(f"{type(value).__name__} has no equivalent in JSON")
