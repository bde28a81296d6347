"""What the words of the command line may be; argparse.ArgumentTypeError says what they may not."""

from __future__ import annotations

import argparse
import re
from pathlib import Path


def words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return number


def positives(text: str) -> list[int]:
    return [positive(word) for word in words(text)]


def seconds(text: str) -> float:
    """`90`, `90s`, `10m`, `2h` -> seconds."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|h)?", text)
    if not found or float(found[1]) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time above zero, such as 90s, 10m or 2h")
    return float(found[1]) * {"s": 1, "m": 60, "h": 3600, None: 1}[found[2]]


def share(text: str) -> float:
    """`5%` or `0.05` -> 0.05."""
    try:
        found = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        found = -1.0
    if not 0 <= found < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share such as 5% or 0.05")
    return found


def interpreter(text: str) -> tuple[str, str]:
    name, separator, path = text.partition("=")
    if not separator or not Path(path).is_file():
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=PATH with the path of a Python interpreter")
    return name, path
