"""The exit codes of every command, and the errors that end one with a word instead of a traceback."""

DONE = 0
CELL_FAILED = 1
USAGE = 2
MISSING = 3
GATE_TRIPPED = 4  # such as parity
INTERRUPTED = 130


class Usage(Exception):
    """The words of the command are off; the message names what is allowed."""


class Missing(Exception):
    """A device, an environment or a package that is needed is not there; the message says what mends it."""
