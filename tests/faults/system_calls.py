"""The calls of the operating system that `harness/files.py` makes, each of which a test may see or replace."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Protocol
from unittest.mock import patch

from crossframe.harness import files

CALLS = ("open", "read", "write", "fsync", "replace", "mkdir", "unlink", "symlink")
# Function of the module `os` -> the call as which it counts.
FUNCTIONS = {name: name for name in ("open", "fsync", "replace", "mkdir", "unlink", "symlink")}
FUNCTIONS |= {"pread": "read", "rmdir": "unlink"}


class Intercept(Protocol):
    """A function that is called in place of each call, and may make it with `action(*arguments)`."""

    def __call__(self, call: str, action: Callable[..., Any], *arguments: Any) -> Any:
        """Return what the call returns."""


class InterceptedFile(io.FileIO):
    """A file without a buffer, whose reads and writes are intercepted."""

    intercept: Intercept

    def write(self, data: Any, /) -> int:
        written: int = self.intercept("write", super().write, bytes(data))
        return written

    def readinto(self, buffer: Any, /) -> int:
        size: int = self.intercept("read", super().readinto, buffer)
        return size

    def readall(self) -> bytes:
        content: bytes = self.intercept("read", super().readall)
        return content


def is_called_by_files() -> bool:
    """Return whether `harness/files.py` is among the callers, and no call that is intercepted already.

    Digests are left out: they read hundreds of files, of the code of this installation.
    """
    frame = sys._getframe(1)
    while frame.f_back is not None:
        frame = frame.f_back
        if frame.f_code.co_filename in (files.__file__, __file__):
            return frame.f_code.co_filename == files.__file__ and frame.f_code is not files.digest.__code__
    return False


@contextmanager
def intercept_calls(intercept: Intercept) -> Iterator[None]:
    """Have every call of `harness/files.py` intercepted while the block runs."""

    def replace(name: str) -> Callable[..., Any]:
        action = getattr(os, name)

        def call(*arguments: Any, **options: Any) -> Any:
            if not is_called_by_files():
                return action(*arguments, **options)
            return intercept(FUNCTIONS[name], partial(action, **options), *arguments)

        return call

    def open_file(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if "b" not in mode or not is_called_by_files():
            return original_open(file, mode, *arguments, **options)
        action = partial(make_file, intercept, mode)
        return action(file) if isinstance(file, int) else intercept("open", action, file)

    original_open = open
    with ExitStack() as stack:
        for name in FUNCTIONS:
            stack.enter_context(patch.object(os, name, replace(name)))
        stack.enter_context(patch.object(io, "open", open_file))
        stack.enter_context(patch.object(files, "open", open_file, create=True))
        yield


def make_file(intercept: Intercept, mode: str, file: Any) -> io.BufferedIOBase:
    """Return an open file, as `open` does, whose reads and writes are intercepted."""
    raw = InterceptedFile(file, mode)
    raw.intercept = intercept
    if "+" in mode:
        return io.BufferedRandom(raw)
    return io.BufferedReader(raw) if "r" in mode else io.BufferedWriter(raw)
