"""The progress of a command, in one live line or in plain lines."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Collection
from threading import Event, Thread

from crossframe.harness.console.messages import DRAWING, LIVE_LINES, say
from crossframe.harness.console.text import format_clock, format_duration, terminal_width


def describe_remaining(seconds: float) -> str:
    """Return the estimate of a live line."""
    return f"about {format_clock(seconds)} left" if seconds >= 1 else "longer than expected"


class Progress:
    """The progress of a command on stderr: one live line on a terminal, otherwise one plain line per item.

    `costs` are the expected costs of the items, in seconds or in any other unit. The remaining time follows from the
    costs of the items that ended and from the time that they took; with `in_seconds`, costs are believed until then.
    """

    def __init__(self, title: str, costs: Collection[float], *, unit: str = "cells", in_seconds: bool = False) -> None:
        self.title, self.unit, self.total, self.cost = title, unit, len(costs), sum(costs)
        self.prior_s = 2 * self.cost / self.total if in_seconds and self.total else 0.0  # weighs as much as two items
        self.is_live = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self.ended, self.ended_cost, self.ended_s = 0, 0.0, 0.0
        self.item, self.position, self.begin, self._stop = "", "", time.monotonic(), Event()

    def __enter__(self) -> Progress:
        if self.is_live:
            LIVE_LINES.append(self)
            self.draw()
            self._thread = Thread(target=self._redraw, daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.is_live:
            self._stop.set()
            self._thread.join()
            with DRAWING:
                LIVE_LINES.remove(self)
                self.erase()

    def start_item(self, item: str, position: str = "") -> None:
        """Show what runs now, such as a cell, and its position, such as `round 2 of 5, cell 3 of 16`."""
        self.item, self.position = item, position
        if self.is_live:
            with DRAWING:
                self.draw()

    def end_item(self, cost: float, text: str, *, notable: bool = False) -> None:
        """Count an item of this expected cost; print `text` unless the live line says enough: it is not `notable`."""
        with DRAWING:
            self.ended, self.ended_cost, self.ended_s = self.ended + 1, self.ended_cost + cost, self.elapsed_s
            if not self.is_live:
                remaining_s = self.estimate_remaining_s() if self.ended < self.total else None
                say(f"{self.counter} {text}" + (f", about {format_duration(remaining_s)} left" if remaining_s else ""))
            elif notable:
                say(f"{self.counter} {text}")
            else:
                self.draw()

    @property
    def counter(self) -> str:
        """`[ 3/16]`."""
        return f"[{self.ended:{len(str(self.total))}}/{self.total}]"

    @property
    def elapsed_s(self) -> float:
        """Seconds since the begin."""
        return time.monotonic() - self.begin

    def estimate_remaining_s(self) -> float | None:
        """Return the expected seconds until the end; None if nothing is known yet."""
        known_cost = self.ended_cost + self.prior_s
        if not known_cost:
            return None
        rate = (self.ended_s + self.prior_s) / known_cost
        return max(0.0, rate * (self.cost - self.ended_cost) - (self.elapsed_s - self.ended_s))

    def describe(self, width: int) -> str:
        """Return the live line: as many of its parts as fit into `width` columns."""
        remaining_s = self.estimate_remaining_s()
        parts = [
            self.position or f"{self.title}: {self.ended} of {self.total} {self.unit}",
            f"{format_clock(self.elapsed_s)} elapsed",
            *([] if remaining_s is None else [describe_remaining(remaining_s)]),
            *([self.item] if self.item else []),
        ]
        text = parts[0]
        for part in parts[1:]:
            if len(text) + 2 + len(part) <= width:
                text += f", {part}"
        return text[:width]

    def draw(self) -> None:
        """Draw the line over itself."""
        sys.stderr.write(f"\r\x1b[K{self.describe(terminal_width(sys.stderr) - 1)}")
        sys.stderr.flush()

    def erase(self) -> None:
        """Erase the line."""
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()

    def _redraw(self) -> None:
        while not self._stop.wait(1.0):
            with DRAWING:
                self.draw()
