"""stdout is data, stderr is messages."""

import sys


def say(text: str) -> None:
    """One message to the user."""
    print(text, file=sys.stderr, flush=True)
