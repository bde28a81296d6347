"""Output of the commands: data on stdout, messages on stderr, tables for terminals and for Markdown."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

PIPE_WIDTH = 200  # columns of a table that is not printed to a terminal


def say(text: str) -> None:
    """Print one message to the user on stderr."""
    print(text, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class TableLayout:
    """The appearance of a table in a terminal."""

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

    On a terminal it has colours, unless $NO_COLOR is set, and the width of the terminal; otherwise it is plain text of
    at most `PIPE_WIDTH` columns.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(header_style="bold", pad_edge=False)
    for index, heading in enumerate(headings):
        table.add_column(
            heading, justify="right" if index in layout.right else "left", no_wrap=index not in layout.wrap
        )
    group = None
    for row in rows:
        cells = list(row)
        if layout.grouped:
            if group not in (None, row[0]):
                table.add_section()
            cells[0] = "" if row[0] == group else row[0]
            group = row[0]
        table.add_row(*(Text(text, style=layout.styles.get(text, "")) for text in cells))
    terminal = sys.stdout.isatty()
    console = Console(
        width=None if terminal else PIPE_WIDTH,
        force_terminal=terminal and "NO_COLOR" not in os.environ,
        highlight=False,
    )
    with console.capture() as capture:
        console.print(table)
        for note in notes:
            console.print(Text(note))
    return capture.get()


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
