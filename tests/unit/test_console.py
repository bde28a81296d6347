"""Tables for terminals and for Markdown, and lines within a size."""

import pytest

from crossframe.harness.console import (
    TableLayout,
    escape_markdown,
    fit_lines,
    markdown_table,
    plain_table,
    say,
    terminal_table,
)


def test_messages_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    say("message")
    assert capsys.readouterr() == ("", "message\n")


def test_a_table_in_a_pipe_is_plain_text() -> None:
    layout = TableLayout(right=(1,), styles={"failed": "red"}, grouped=True)
    rows = [["a", "1", "ok"], ["a", "10", "failed"], ["b", "5", "[ok]"]]
    text = terminal_table(["task", "steps", "state"], rows, layout, ["a note with [brackets]"])
    lines = text.splitlines()
    assert "\x1b" not in text
    assert lines[-1] == "a note with [brackets]"
    assert any("failed" in line and not line.lstrip("│ ").startswith("a") for line in lines), "printed once per group"
    assert any(line.split("│")[1:2] == ["    10 "] or " 10 " in line for line in lines)
    assert "[ok]" in text, "a cell is text, not markup"


def test_plain_columns_are_aligned() -> None:
    assert plain_table([["a", "1"], ["long", "10"]], right=[1]) == "a      1\nlong  10\n"


def test_markdown_cells_are_escaped() -> None:
    assert markdown_table(["a|b"], [["<script>"], ["x\ny"]]) == ["| a\\|b |", "| --- |", "| &lt;script> |", "| x y |"]
    assert escape_markdown("&<|\n") == "&amp;&lt;\\| "


def test_lines_that_do_not_fit_are_counted() -> None:
    lines = ["x" * 49] * 5
    assert fit_lines(lines, 350, "{} more") == lines
    assert fit_lines(lines, 349, "{} more") == [*lines[:4], "1 more"]
    assert fit_lines(lines, 0, "{} more") == ["5 more"]
