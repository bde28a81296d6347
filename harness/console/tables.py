"""Tables for terminals and for Markdown."""

from __future__ import annotations

import csv
import io
import os
import re
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from crossframe.harness.console.text import terminal_width, wrap_lines

MARKUP = {"\\": "\\\\", "&": "&amp;", "<": "&lt;", "|": "\\|", "[": "\\[", "\n": " "}  # -> what is written for it
HEADS = ("#", ">")  # of headings and quotations
FORMULAS = ("=", "+", "-", "@", "\t", "\r")
GROUP = "\ue000"  # stands for the heading of a group of rows, which may be longer than the first column
NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?")


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
    group_headings = [cells[0] for cells in body if len(cells) == 1]
    for cells in body:
        if len(cells) == 1:
            table.add_section()
            table.add_row(Text(GROUP, style="bold"))
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
    for heading in group_headings:
        text = text.replace(GROUP, heading, 1)
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


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table, with escaped cells: heading, rule, one line a row."""
    head = ["| " + " | ".join(map(escape_markdown, headings)) + " |", "|" + " --- |" * len(headings)]
    return [*head, *("| " + " | ".join(map(escape_markdown, row)) + " |" for row in rows)]


def escape_markdown(text: str) -> str:
    """Return `text` so that it cannot become markup, a link or an image, or end a cell of a table."""
    for raw, safe in MARKUP.items():
        text = text.replace(raw, safe)
    return f"\\{text}" if text.startswith(HEADS) else text


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Return rows as CSV. No text begins like a formula, which a spreadsheet would compute."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([escape_formula(value) if isinstance(value, str) else value for value in row] for row in rows)
    return text.getvalue()


def escape_formula(text: str) -> str:
    """Return a text with an apostrophe before the start of a formula; a number is none."""
    return f"'{text}" if text.startswith(FORMULAS) and not NUMBER.fullmatch(text) else text
