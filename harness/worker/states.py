"""The states in which a job can end."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """How a job, or a step of it, ended. Every state but `ok` comes with a reason."""

    OK = "ok"
    FAILED = "failed"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"
    DIVERGED = "diverged"
    UNSUPPORTED = "unsupported"
    NOT_INSTALLED = "not_installed"
    SKIPPED = "skipped"
