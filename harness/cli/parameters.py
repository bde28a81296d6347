"""The types of parameters on the command line."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any, NoReturn

import click

SECONDS_PER_UNIT = {"s": 1, "m": 60, "h": 3600}


class PositiveInteger(click.ParamType[int]):
    """A whole number of 1 or more."""

    name = "integer"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return `3` as 3."""
        number = click.INT.convert(value, param, ctx)
        if number < 1:
            self.fail(f"{value} is not 1 or more", param, ctx)
        return int(number)


class NameList(click.ParamType[list[str]]):
    """Names separated by commas."""

    name = "names"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[str]:
        """Return `cnn,lstm` as ["cnn", "lstm"]."""
        return value if isinstance(value, list) else [word for word in str(value).split(",") if word]


class PositiveList(click.ParamType[list[int]]):
    """Whole numbers of 1 or more, separated by commas."""

    name = "integers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[int]:
        """Return `1,8` as [1, 8]."""
        if isinstance(value, list):
            return value
        return [POSITIVE.convert(word, param, ctx) for word in NAMES.convert(value, param, ctx)]


class Duration(click.ParamType[float]):
    """A time above zero with its unit: `90s`, `10m`, `2h`."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the time in seconds."""
        if isinstance(value, (int, float)):
            return float(value)
        match = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|h)", value)
        if not match or float(match[1]) == 0:
            if re.fullmatch(r"\d+(\.\d+)?", value):
                self.fail(f"{value!r} has no unit: write {value}s, {value}m or {value}h", param, ctx)
            self.fail(f"{value!r} is not a time above zero, such as 90s, 10m or 2h", param, ctx)
        return float(match[1]) * SECONDS_PER_UNIT[match[2]]


class Share(click.ParamType[float]):
    """A share from 0 to below 1: `5%` or `0.05`."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return `5%` as 0.05."""
        text = str(value)
        try:
            share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        except ValueError:
            self._reject(text, param, ctx)
        if not 0 <= share < 1:
            self._reject(text, param, ctx)
        return share

    def _reject(self, text: str, param: click.Parameter | None, ctx: click.Context | None) -> NoReturn:
        self.fail(f"{text!r} is not a share such as 5% or 0.05", param, ctx)


class Interpreter(click.ParamType[tuple[str, str]]):
    """A Python interpreter for a backend or runtime: `NAME=PATH`."""

    name = "interpreter"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Return (name, path) of an existing file."""
        if isinstance(value, tuple):
            return value
        name, separator, path = value.partition("=")
        if not separator or not Path(path).is_file():
            self.fail(f"{value!r} is not NAME=PATH with the path of a Python interpreter", param, ctx)
        return name, path


POSITIVE = PositiveInteger()
NAMES = NameList()
POSITIVES = PositiveList()
DURATION = Duration()
SHARE = Share()
INTERPRETER = Interpreter()
PATH = click.Path(path_type=Path)


def flatten(_ctx: click.Context, _param: click.Parameter, values: tuple[list[Any], ...]) -> list[Any]:
    """Join the lists of a repeated option; the callback of every option of `NAMES` or `POSITIVES`."""
    return [item for value in values for item in value]


def collect_pairs(ctx: click.Context, param: click.Parameter, values: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """Return the pairs of a repeated option as a dict; the callback of every option of `INTERPRETER`."""
    repeated = [name for name, count in Counter(name for name, _ in values).items() if count > 1]
    if repeated:
        raise click.BadParameter(f"{repeated[0]} has several interpreters; name one", ctx, param)
    return dict(values)
