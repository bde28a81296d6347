"""Output of the commands: data on stdout, messages on stderr, tables for terminals and for Markdown."""

from __future__ import annotations

import difflib
import os
import sys
import textwrap
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Event, RLock, Thread
from typing import ClassVar, Protocol, TextIO

PIPE_WIDTH = 200  # columns of a table that is not printed to a terminal
SIMILAR = 0.6  # least similarity of a name to the one that is suggested instead, see `difflib`


class LiveLine(Protocol):
    """A line at the bottom of the terminal that is drawn again and again; see `Progress`."""

    def draw(self) -> None:
        """Draw the line."""

    def erase(self) -> None:
        """Erase the line."""


LIVE_LINES: list[LiveLine] = []  # at most one; messages appear above it
DRAWING = RLock()


def say(text: str) -> None:
    """Print one message to the user on stderr, above the live line if there is one."""
    with DRAWING:
        for line in LIVE_LINES:
            line.erase()
        print(text, file=sys.stderr, flush=True)
        for line in LIVE_LINES:
            line.draw()


def terminal_width(stream: TextIO) -> int:
    """Return the columns of the terminal behind a stream; $COLUMNS overrides it. `PIPE_WIDTH` without a terminal."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdigit() and int(columns) > 0:
        return int(columns)
    try:
        return os.get_terminal_size(stream.fileno()).columns or PIPE_WIDTH
    except (OSError, ValueError):
        return PIPE_WIDTH


def wrap_lines(lines: Iterable[str], indent: str = "") -> str:
    """Return lines broken at words to the width of stdout; continued lines begin with `indent`."""
    width = terminal_width(sys.stdout)
    wrap = textwrap.TextWrapper(width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return "".join((line if len(line) <= width else wrap.fill(line)) + "\n" for line in lines)


def fit_terminal(text: str, indent: str = "  ") -> str:
    """Return a text broken at words to the width of the terminal; unchanged if stdout is not a terminal."""
    return wrap_lines(text.splitlines(), indent) if sys.stdout.isatty() else text


def render_markdown(text: str) -> str:
    """Return Markdown as it reads in the terminal; unchanged if stdout is not a terminal."""
    if not sys.stdout.isatty():
        return text
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.markdown import Markdown, TableElement
    from rich.table import Table

    class FoldingTable(TableElement):
        """A table whose long words are folded, not cut off."""

        def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
            for part in super().__rich_console__(console, options):
                if isinstance(part, Table):
                    for column in part.columns:
                        column.overflow = "fold"
                yield part

    class FoldingMarkdown(Markdown):
        """Markdown with such tables."""

        elements: ClassVar = {**Markdown.elements, "table_open": FoldingTable}

    width = terminal_width(sys.stdout)
    console = Console(width=width, force_terminal="NO_COLOR" not in os.environ, highlight=False)
    with console.capture() as capture:
        console.print(FoldingMarkdown(text, hyperlinks=False))
    return "".join(line.rstrip() + "\n" for line in capture.get().splitlines())


def format_duration(seconds: float) -> str:
    """Return a time in words: `45 s`, `1 min 05 s`, `2 h 05 min`."""
    total = max(0, round(seconds))
    if total < 60:
        return f"{total} s"
    minutes, rest = divmod(total, 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def format_clock(seconds: float) -> str:
    """Return a time in little space: `0:05`, `12:45`, `1:02:03`."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    return f"{minutes}:{rest:02d}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def suggest_name(name: str, available: Iterable[str], aliases: Mapping[str, str] | None = None) -> str:
    """Return `; did you mean NAME?` if one of the available names is similar; otherwise an empty text.

    `aliases` are further names for the available ones: alias -> name.
    """
    names = {candidate.casefold(): candidate for candidate in available}
    targets = set(names.values())
    names |= {alias.casefold(): target for alias, target in (aliases or {}).items() if target in targets}
    close = difflib.get_close_matches(name.casefold(), names, n=1, cutoff=SIMILAR)
    return f"; did you mean {names[close[0]]}?" if close else ""


@dataclass(frozen=True)
class TableLayout:
    """The appearance of a table in a terminal. A row of a single text is the heading of the rows below it."""

    right: Collection[int] = ()  # indices of the columns to align to the right
    wrap: Collection[int] = ()  # indices of the columns whose text may be broken into lines
    styles: Mapping[str, str] = field(default_factory=dict)  # text of a cell -> style of `rich`, as {"failed": "red"}
    grouped: bool = False  # draw a line where the first column changes, and print its text once per group


def terminal_table(
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    layout: TableLayout = TableLayout(),
    notes: Iterable[str] = (),
) -> str:
    """Return a table for a terminal, followed by notes.

    On a terminal it has colours, unless $NO_COLOR is set. It is as wide as the terminal, or `PIPE_WIDTH` columns where
    there is none; wider if the text of its columns needs more, since no text is cut off.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    body = [list(row) for row in rows]
    width = terminal_width(sys.stdout)
    table = Table(header_style="bold", pad_edge=False, box=box.SIMPLE_HEAD, show_edge=False)
    for index, heading in enumerate(headings):
        table.add_column(
            heading, justify="right" if index in layout.right else "left", no_wrap=index not in layout.wrap
        )
    group = None
    for cells in body:
        if len(cells) == 1:
            table.add_section()
            table.add_row(Text(cells[0], style="bold"))
            continue
        if layout.grouped:
            if group not in (None, cells[0]):
                table.add_section()
            group, cells[0] = cells[0], "" if cells[0] == group else cells[0]
        table.add_row(*(Text(text, style=layout.styles.get(text, "")) for text in cells))
    terminal = sys.stdout.isatty()
    console = Console(
        width=max(width, least_width(headings, body, layout)),
        force_terminal=terminal and "NO_COLOR" not in os.environ,
        highlight=False,
    )
    with console.capture() as capture:
        console.print(table)
    text = "".join(line.rstrip() + "\n" for line in capture.get().splitlines())
    remarks = wrap_lines(notes, indent="  ")
    return f"{text}\n{remarks}" if remarks else text


def least_width(headings: Sequence[str], rows: Iterable[Sequence[str]], layout: TableLayout) -> int:
    """Return the columns that a table needs: for each of its columns the longest text, or word if it may be broken."""
    lengths = [0] * len(headings)
    for row in [headings, *(row for row in rows if len(row) > 1)]:
        for index, text in enumerate(row):
            parts = text.split() if index in layout.wrap else [text]
            lengths[index] = max([lengths[index], *map(len, parts)])
    return sum(lengths) + 3 * len(lengths)  # padding and a space between columns


def plain_table(rows: Sequence[Sequence[str]], *, right: Collection[int] = ()) -> str:
    """Return rows as aligned columns without lines or headings; the last column is not padded."""
    widths = [max(map(len, column)) for column in zip(*rows)]

    def pad(index: int, text: str) -> str:
        return text.rjust(widths[index]) if index in right else text.ljust(widths[index])

    return "".join("  ".join(pad(index, text) for index, text in enumerate(row)).rstrip() + "\n" for row in rows)


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table, with escaped cells: heading, rule, one line a row."""
    head = ["| " + " | ".join(map(escape_markdown, headings)) + " |", "|" + " --- |" * len(headings)]
    return [*head, *("| " + " | ".join(map(escape_markdown, row)) + " |" for row in rows)]


def escape_markdown(text: str) -> str:
    """Return `text` so that it cannot become markup or end a cell of a table."""
    for raw, safe in (("&", "&amp;"), ("<", "&lt;"), ("|", "\\|"), ("\n", " ")):
        text = text.replace(raw, safe)
    return text


def fit_lines(lines: Sequence[str], size: int, remainder: str) -> list[str]:
    """Return the first lines that fit into `size` bytes.

    If some do not fit, a last line is `remainder` with the number of omitted lines in place of `{}`.
    """
    used = 100  # bytes reserved for the line about the remainder
    for index, line in enumerate(lines):
        used += len(line.encode()) + 1
        if used > size:
            return [*lines[:index], remainder.format(len(lines) - index)]
    return list(lines)


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
