"""Texts that fit the terminal, times in words, and suggestions of names."""

from __future__ import annotations

import difflib
import os
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, TextIO

PIPE_WIDTH = 200  # columns of a table that is not printed to a terminal
SIMILAR = 0.6  # least similarity of a name to the one that is suggested instead, see `difflib`


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
