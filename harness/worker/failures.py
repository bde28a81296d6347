"""How an error in a worker becomes a state and a reason."""

from __future__ import annotations

import re

from crossframe.backends.contract import Unsupported
from crossframe.harness.worker.states import State

OUT_OF_MEMORY = re.compile(
    r"out of memory|\bOOM\b|RESOURCE_EXHAUSTED|bad_alloc|can't allocate memory|cannot allocate memory|"
    r"_ALLOC(ATION)?_FAILED",
    re.IGNORECASE,
)
REASON_LENGTH = 500  # characters


class DivergedError(Exception):
    """The loss is no longer a finite number."""


def state_for_error(error: Exception) -> State:
    """Return the state of a job or step that ended with `error`."""
    if isinstance(error, DivergedError):
        return State.DIVERGED
    if isinstance(error, Unsupported):
        return State.UNSUPPORTED
    if isinstance(error, MemoryError) or OUT_OF_MEMORY.search(str(error)):
        return State.OUT_OF_MEMORY
    return State.FAILED


def summarize_error(error: BaseException) -> str:
    """Return the type and the message of an error in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:REASON_LENGTH]
