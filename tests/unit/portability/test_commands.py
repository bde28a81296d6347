"""Errors of `crossframe portability` and `crossframe check` that need no runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from crossframe.harness.cli import main
from tests.support.corruptions import corrupt
from tests.support.models import write_one_node
from tests.support.synthetic import make_repeats, save_run


@pytest.mark.parametrize(
    "arguments", [("--task", "nothing"), ("--runtime", "nothing"), ("--backend", "nothing"), ("gone",)]
)
def test_unknown_names_are_usage_errors(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    assert main(["portability", *arguments]) == 2
    output = capsys.readouterr()
    assert arguments[-1] in output.err
    assert not output.out


def test_a_run_without_the_files_of_its_jobs_keeps_its_results(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run = save_run(tmp_path / "run", make_repeats("torch", [0.01]))
    (run / "portability.json").write_text("{}")
    assert main(["portability", str(run)]) == 2
    assert "but not the files that they exported; name a run of this machine, or none" in capsys.readouterr().err
    assert (run / "portability.json").read_text() == "{}"


def name_missing_file(folder: Path) -> Path:
    return folder / "gone.onnx"


def write_html(folder: Path) -> Path:
    path = write_one_node(folder, shape=["n", 4])
    corrupt(path, "not a protobuf")
    return path


def write_truncated(folder: Path) -> Path:
    path = write_one_node(folder, shape=["n", 4])
    corrupt(path, "truncated")
    return path


def write_oversized(folder: Path) -> Path:
    """Write a sparse file that is larger than a protobuf can be."""
    path = folder / "huge.onnx"
    with path.open("wb") as file:
        file.truncate(2**31)
    return path


BAD_FILES: dict[str, tuple[Callable[[Path], Path], int, str]] = {  # name -> writer, exit code, word of the message
    "missing": (name_missing_file, 2, "not a file"),
    "not ONNX": (write_html, 1, "load: "),
    "truncated": (write_truncated, 1, "load: "),
    "over 2 GB": (write_oversized, 1, "2 GiB"),
    "no rank": (write_one_node, 1, "rank of input x is not declared"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files_are_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    write, code, word = BAD_FILES[name]
    monkeypatch.chdir(tmp_path)  # `check` makes a folder for its processes, which it deletes
    assert main(["check", str(write(tmp_path)), "--runtime", "onnxruntime"]) == code
    assert word in capsys.readouterr().err
    assert not list(tmp_path.glob("results/*"))
