"""Exit codes of the commands, and the errors that end a command with a message instead of a traceback."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """The exit codes of the commands."""

    DONE = 0
    CELL_FAILED = 1
    USAGE = 2
    MISSING = 3  # a device, an environment, a package or data
    GATE_TRIPPED = 4  # such as parity
    UNDECIDED = 5  # a gate without enough evidence to decide
    INTERRUPTED = 130


DONE = ExitCode.DONE
CELL_FAILED = ExitCode.CELL_FAILED
USAGE = ExitCode.USAGE
MISSING = ExitCode.MISSING
GATE_TRIPPED = ExitCode.GATE_TRIPPED
UNDECIDED = ExitCode.UNDECIDED
INTERRUPTED = ExitCode.INTERRUPTED


class UsageError(Exception):
    """The arguments of a command are invalid; the message names what is allowed."""


class MissingError(Exception):
    """A device, an environment or a package is missing; the message names the remedy."""


class DamagedFileError(ValueError):
    """A file is not what it must be; the message names the file and the reason."""
