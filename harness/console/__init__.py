"""Output of the commands: data on stdout, messages on stderr, tables for terminals and for Markdown."""

from __future__ import annotations

from crossframe.harness.console.messages import (
    CONTROLS,
    LIVE_LINES,
    say,
)
from crossframe.harness.console.progress import (
    Progress,
)
from crossframe.harness.console.tables import (
    TableLayout,
    csv_text,
    escape_markdown,
    markdown_table,
    terminal_table,
)
from crossframe.harness.console.text import (
    fit_lines,
    fit_terminal,
    format_duration,
    render_markdown,
    suggest_name,
    wrap_lines,
)

__all__ = [
    "CONTROLS",
    "LIVE_LINES",
    "Progress",
    "TableLayout",
    "csv_text",
    "escape_markdown",
    "fit_lines",
    "fit_terminal",
    "format_duration",
    "markdown_table",
    "render_markdown",
    "say",
    "suggest_name",
    "terminal_table",
    "wrap_lines",
]
