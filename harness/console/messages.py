"""Messages to the user, above the live line."""

from __future__ import annotations

import re
import sys
from threading import RLock
from typing import Protocol


class LiveLine(Protocol):
    """A line at the bottom of the terminal that is drawn again and again; see `Progress`."""

    def draw(self) -> None:
        """Draw the line."""

    def erase(self) -> None:
        """Erase the line."""


LIVE_LINES: list[LiveLine] = []  # at most one; messages appear above it
DRAWING = RLock()
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")  # a terminal obeys them


def say(text: str) -> None:
    """Print one message to the user on stderr, above the live line if there is one."""
    if sys.stderr is None:  # the shell closed it, and `print` would take stdout instead
        return
    with DRAWING:
        for line in LIVE_LINES:
            line.erase()
        print(CONTROLS.sub("\ufffd", text), file=sys.stderr, flush=True)
        for line in LIVE_LINES:
            line.draw()
