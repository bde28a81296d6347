"""A log is cut while it grows, and keeps its start and its end."""

import os
import time
from pathlib import Path

import pytest

from crossframe.harness.launch import log
from crossframe.harness.launch.log import CUT, Log


def test_a_short_log_is_kept_whole(tmp_path: Path) -> None:
    with Log(tmp_path / "log.txt", "command") as opened:
        os.write(opened.file, b"output\n")
    assert (tmp_path / "log.txt").read_text() == "$ command\noutput\n"


def test_a_long_log_keeps_its_start_and_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "LOG_BYTES", 10_000)
    monkeypatch.setattr(log, "PERIOD_S", 0.005)
    largest = 0
    with Log(tmp_path / "log.txt", "command") as opened:
        for number in range(300):
            os.write(opened.file, f"line {number}\n".encode() * 50)
            largest = max(largest, (tmp_path / "log.txt").stat().st_size)
            time.sleep(0.001)
        assert largest < 100_000  # of 150,000 bytes that were written
    content = (tmp_path / "log.txt").read_bytes()
    assert len(content) <= 10_000 + len(CUT)
    assert content.startswith(b"$ command\nline 0\n")
    assert CUT in content


def test_a_log_is_not_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "log.txt").symlink_to(tmp_path / "victim")
    with pytest.raises(FileExistsError):
        Log(tmp_path / "log.txt", "command")
    assert (tmp_path / "victim").read_text() == "mine"
