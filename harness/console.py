"""stdout is data, stderr is messages."""

import sys


def say(text: str) -> None:
    """One message to the user."""
    print(text, file=sys.stderr, flush=True)


def fitting(lines: list[str], size: int, rest: str) -> list[str]:
    """The first lines that fit into so many bytes, and how many are left out."""
    used = 100  # room for the line about the rest
    for kept, line in enumerate(lines):
        used += len(line.encode()) + 1
        if used > size:
            return [*lines[:kept], rest.format(len(lines) - kept)]
    return lines


def escaped(text: str) -> str:
    """Text that can't become markup or end a table's cell."""
    for raw, safe in (("&", "&amp;"), ("<", "&lt;"), ("|", "\\|"), ("\n", " ")):
        text = text.replace(raw, safe)
    return text
