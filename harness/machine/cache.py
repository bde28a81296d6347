"""The cache folder of Crossframe. A file in it that is torn or damaged is a miss: it is named and made again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeVar

import numpy as np

from crossframe.harness.console import say
from crossframe.harness.files import COPY_BYTES, read_archive, read_file
from crossframe.harness.records.codec import from_json

T = TypeVar("T")

REASON_LENGTH = 200  # characters


def cache_folder() -> Path:
    """Return $CROSSFRAME_CACHE, or `crossframe` in the user's cache folder. The folder may not exist yet."""
    configured = os.environ.get("CROSSFRAME_CACHE")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(configured) if configured else base / "crossframe"


def read_cached(path: Path, kind: type[T]) -> T | None:
    """Return a JSON file of the cache; None if it is missing, or, with a message, if it is damaged."""
    try:
        return from_json(read_file(path), kind)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        say(f"{path} is damaged and made again: {str(error)[:REASON_LENGTH]}")
        return None


def read_cached_arrays(path: Path) -> dict[str, np.ndarray] | None:
    """Return an archive of arrays of the cache; None if it is missing, or, with a message, if it is damaged."""
    try:
        return read_archive(path, COPY_BYTES)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        say(f"{path} is damaged and made again: {str(error)[:REASON_LENGTH]}")
        return None
