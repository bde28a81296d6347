"""The errors of the operating system are one line with the remedy, never a traceback."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crossframe.harness.cli.program import main
from crossframe.harness.files import append_line, write_atomically
from crossframe.harness.report.page.page import write_page
from tests.support.synthetic import make_record, save_run

pytestmark = pytest.mark.frameworks  # starts processes for seconds

NUMBERS = [errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS, errno.EMFILE, errno.ENAMETOOLONG, errno.EINTR]


def fail_with(number: int) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), "/some/file")

    return fail


@pytest.mark.parametrize("number", NUMBERS)
def test_an_error_of_the_system_is_one_line_with_a_remedy(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    save_run(run, [make_record("a", 1, 0.01)])
    monkeypatch.setattr(os, "fsync", fail_with(number))
    assert main(["report", str(run), "--format", "html"]) == 3
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"crossframe: /some/file: {os.strerror(number)}; ")


def test_memory_that_ran_out_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("crossframe.harness.records.store.read", fail)
    assert main(["report", str(tmp_path)]) == 3
    assert capsys.readouterr().err.startswith("crossframe: memory ran out")


def count_calls(monkeypatch: pytest.MonkeyPatch, last: int) -> list[int]:
    """Let the system calls that write fail from the call number `last` on; return the list of calls."""
    calls: list[int] = []

    def wrap(module: Any, name: str) -> None:
        correct = getattr(module, name)

        def call(*arguments: Any, **options: Any) -> Any:
            calls.append(len(calls))
            if len(calls) == last:
                raise OSError(errno.ENOSPC, "No space left on device")
            return correct(*arguments, **options)

        monkeypatch.setattr(module, name, call)

    wrap(os, "fsync")
    wrap(Path, "replace")
    wrap(Path, "mkdir")
    return calls


def test_the_page_is_the_old_or_the_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "run"
    save_run(run, [make_record("a", 1, 0.01)])
    (run / "report.html").write_text("the old page")
    failures = 0
    for last in range(1, 20):
        with monkeypatch.context() as patch:
            calls = count_calls(patch, last)
            try:
                write_page(run)
            except OSError:
                failures += 1
        if len(calls) < last:
            break
        text = (run / "report.html").read_text()
        assert text == "the old page" or text.rstrip().endswith("</html>")
        assert not list(run.glob("*.part"))
    assert failures >= 2


def test_a_record_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    append_line(path, "first")
    with path.open("ab") as file:
        file.write(b"torn")
    append_line(path, "second")
    assert path.read_text() == "first\ntorn\nsecond\n"


def run_command(*arguments: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-m", "crossframe", *arguments], check=False, **options)


def test_a_reader_of_the_output_may_go(tmp_path: Path) -> None:
    save_run(tmp_path, [make_record(f"backend{number}", 1, 0.01) for number in range(50)])
    command = f"{sys.executable} -m crossframe report {tmp_path} --format csv | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("task,")
    assert done.stderr == ""


def test_an_ascii_locale_gets_question_marks(tmp_path: Path) -> None:
    save_run(tmp_path, [make_record("a", 1, 0.01), make_record("a", 2, 0.02)])
    env_vars = {**os.environ, "LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = run_command("report", str(tmp_path), capture_output=True, env=env_vars)
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr


def test_a_present_folder_that_is_gone_is_one_line(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    command = f"cd {gone} && rmdir {gone} && exec {sys.executable} -m crossframe history"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode in (2, 3)
    assert "Traceback" not in done.stderr
    assert "crossframe: " in done.stderr


def test_a_name_that_is_too_long_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--backend", "reference", "--out", str(tmp_path / ("x" * 300))]) == 3
    assert capsys.readouterr().err.splitlines()[-1].endswith("File name too long; use a shorter name")


def test_a_missing_git_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from crossframe.harness.run.folder import describe_commit

    monkeypatch.setenv("PATH", "/nowhere")
    assert describe_commit() is None


def test_a_file_is_not_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "file").symlink_to(tmp_path / "victim")
    write_atomically(tmp_path / "file", "new")
    assert (tmp_path / "victim").read_text() == "mine"
    assert (tmp_path / "file").read_text() == "new"


@pytest.mark.parametrize(
    ("redirection", "message"),
    [("> /dev/full", "No space left on device"), (">&-", ""), (">&- 2>&-", ""), ("2>&-", ""), ("< /dev/null >&-", "")],
)
def test_an_output_that_is_full_or_closed_is_no_traceback(tmp_path: Path, redirection: str, message: str) -> None:
    save_run(tmp_path, [make_record("a", 1, 0.01)])
    command = f"{sys.executable} -m crossframe report {tmp_path} --format csv {redirection}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert message in done.stderr
    assert done.returncode == (3 if message else 0)


def test_a_limit_of_the_size_of_files_is_one_line(tmp_path: Path) -> None:
    command = f"ulimit -f 20; {sys.executable} -m crossframe run --backend reference --out {tmp_path / 'run'}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    assert "File too large; raise the limit of the size of files" in done.stderr
    assert not (tmp_path / "run").exists()
