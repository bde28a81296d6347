"""Tables for terminals and for Markdown, and lines within a size."""

import csv
import io
import sys
import time

import pytest

from crossframe.harness import console
from crossframe.harness.console import (
    Progress,
    TableLayout,
    csv_text,
    escape_markdown,
    fit_lines,
    format_duration,
    markdown_table,
    say,
    suggest_name,
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


def test_markdown_cells_are_escaped() -> None:
    assert markdown_table(["a|b"], [["<script>"], ["x\ny"]]) == ["| a\\|b |", "| --- |", "| &lt;script> |", "| x y |"]
    assert escape_markdown("&<|\n") == "&amp;&lt;\\| "
    assert escape_markdown("![image](http://host/x.png)") == "!\\[image](http://host/x.png)"
    assert escape_markdown("\\[a](b)") == "\\\\\\[a](b)"
    assert escape_markdown("# heading") == "\\# heading"


@pytest.mark.parametrize("text", ["=1+1", "+1+cmd", "-2+3", "@SUM(A1)", "\t=1"])
def test_no_cell_of_csv_is_a_formula(text: str) -> None:
    rows = list(csv.reader(io.StringIO(csv_text([["a", text, -1.5, "-1.5e-3", None]]))))
    assert rows == [["a", f"'{text}", "-1.5", "-1.5e-3", ""]]


def test_a_message_has_no_characters_that_a_terminal_obeys(capsys: pytest.CaptureFixture[str]) -> None:
    say("a\x1b[2Jb\x07\u202ec\n\td")
    assert capsys.readouterr().err == "a\ufffd[2Jb\ufffd\ufffdc\n\td\n"


def test_lines_that_do_not_fit_are_counted() -> None:
    lines = ["x" * 49] * 5
    assert fit_lines(lines, 350, "{} more") == lines
    assert fit_lines(lines, 349, "{} more") == [*lines[:4], "1 more"]
    assert fit_lines(lines, 0, "{} more") == ["5 more"]


@pytest.mark.parametrize("columns", [40, 60, 80, 120])
def test_no_text_of_a_table_is_blank_or_cut_off(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    headings = [f"heading{number}" for number in range(10)]
    rows = [[f"row{row}col{column}" for column in range(10)] for row in range(3)]
    text = terminal_table(headings, rows)
    assert all(word in text for line in [headings, *rows] for word in line)


def test_a_row_of_a_single_text_is_a_heading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    layout = TableLayout(wrap=(0,))
    text = terminal_table(["a", "b"], [["first group"], ["1", "2"], ["second group"], ["3", "4"]], layout)
    assert [line.strip() for line in text.splitlines() if "group" in line] == ["first group", "second group"]


def test_a_heading_of_rows_does_not_widen_their_first_column() -> None:
    lines = terminal_table(["a", "b"], [["a heading that is long"], ["1", "2"]]).splitlines()
    assert lines[2] == "a heading that is long"
    assert lines[3].split() == ["1", "2"]
    assert len(lines[3]) < 10


def test_notes_are_broken_at_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    text = terminal_table(["a"], [["1"]], notes=["a note that is longer than the terminal is wide"])
    assert text.splitlines()[-3:] == ["a note that is", "  longer than the", "  terminal is wide"]


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("runn", "; did you mean run?"),
        ("PyTorch", "; did you mean torch?"),
        ("fp16", "; did you mean float16?"),
        ("caffe", ""),
    ],
)
def test_similar_names_are_suggested(name: str, suggestion: str) -> None:
    assert suggest_name(name, ["run", "torch", "float16"], {"pytorch": "torch", "fp16": "float16"}) == suggestion


def test_an_alias_of_an_absent_name_is_not_suggested() -> None:
    assert suggest_name("pytorch", ["jax"], {"pytorch": "torch"}) == ""


def test_durations_are_words() -> None:
    assert [format_duration(seconds) for seconds in (-1, 0.4, 59.4, 65, 7500)] == [
        *("0 s", "0 s", "59 s", "1 min 05 s", "2 h 05 min")
    ]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the time of the clock that `Progress` reads, to be changed by a test."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_the_remaining_time_follows_the_expected_costs(clock: list[float]) -> None:
    progress = Progress("measuring", [10.0, 10.0, 100.0])
    assert progress.estimate_remaining_s() is None
    clock[0] = 20.0
    progress.end_item(10.0, "first")
    assert progress.estimate_remaining_s() == pytest.approx(220)  # twice as slow as expected
    clock[0] = 25.0
    assert progress.estimate_remaining_s() == pytest.approx(215)


def test_expected_seconds_are_believed_at_first(clock: list[float]) -> None:
    progress = Progress("measuring", [10.0, 10.0, 100.0], in_seconds=True)
    assert progress.estimate_remaining_s() == pytest.approx(120)
    clock[0] = 130.0
    assert progress.estimate_remaining_s() == 0, "never below zero"
    assert "2:10 elapsed, longer than expected" in progress.describe(80)


def test_without_a_terminal_each_item_is_a_line(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("measuring", [1.0, 1.0]) as progress:
        for name in "ab":
            progress.start_item(name)
            clock[0] += 65
            progress.end_item(1.0, f"{name}: ok")
    assert capsys.readouterr().err == "[1/2] a: ok, about 1 min 05 s left\n[2/2] b: ok\n"


def test_a_terminal_has_one_live_line(
    clock: list[float], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "xterm")
    with Progress("measuring", [1.0, 1.0]) as progress:
        progress.start_item("cnn torch eager")
        clock[0] = 5.0
        progress.end_item(1.0, "cnn torch eager: ok")
        progress.end_item(1.0, "cnn jax jit: failed", notable=True)
        say("message")
    text = capsys.readouterr().err
    assert "measuring: 0 of 2 cells, 0:00 elapsed, cnn torch eager" in text
    assert "measuring: 1 of 2 cells, 0:05 elapsed, about 0:05 left" in text
    lines = text.replace("\r\x1b[K", "\r").split("\n")
    assert [line.rpartition("\r")[2] for line in lines] == ["[2/2] cnn jax jit: failed", "message", ""]
    assert console.LIVE_LINES == []


def test_a_live_line_fits_the_terminal() -> None:
    progress = Progress("measuring", [1.0] * 16)
    progress.start_item("x" * 200)
    assert progress.describe(79) == "measuring: 0 of 16 cells, 0:00 elapsed"
    assert len(progress.describe(20)) == 20
    progress.start_item("cnn torch eager", "round 2 of 5, cell 13 of 16")
    assert progress.describe(79) == "round 2 of 5, cell 13 of 16, 0:00 elapsed, cnn torch eager"


def test_markdown_reads_well_in_a_terminal_and_is_unchanged_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "# Title\n\n| criterion | weight |\n| --- | --- |\n| a_name_longer_than_the_column_is_wide | 20% |\n"
    assert console.render_markdown(text) == console.fit_terminal(text) == text
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "24")
    monkeypatch.setenv("NO_COLOR", "1")
    rendered = console.render_markdown(text)
    assert "…" not in rendered
    assert "a_name_longer_than_the_column_is_wide" in "".join(word for word in rendered.split() if word != "20%")
    assert max(map(len, console.fit_terminal("word " * 20).splitlines())) <= 24


def test_without_stderr_a_message_is_not_data(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    say("message")
    assert capsys.readouterr().out == ""
