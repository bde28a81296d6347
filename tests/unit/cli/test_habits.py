"""What a terminal's user expects: suggestions, usage lines, wrong interpreters, a report that fits 80 columns."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from crossframe.harness.cli import options, program
from crossframe.harness.errors import ExitCode
from crossframe.harness.machine import environments
from crossframe.harness.records.model import RunOptions
from tests.support.pages import make_three
from tests.support.synthetic import save_run


def read_error(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return what a command with a wrong argument prints; it writes nothing to stdout."""
    assert program.main(arguments) == ExitCode.USAGE
    output = capsys.readouterr()
    assert output.out == ""
    return output.err


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["runn"], "run"),
        (["help", "portabilty"], "portability"),
        (["plan", "--backend", "pytorch"], "torch"),
        (["plan", "--backend", "tensorfow"], "tensorflow"),
        (["plan", "--precision", "fp16"], "float16"),
        (["plan", "--precision", "bf16"], "bfloat16"),
        (["plan", "--precision", "double"], "float64"),
        (["plan", "--task", "autoencodr"], "autoencoder"),
        (["plan", "--backend", "torch", "--mode", "compiled"], "compile"),
        (["plan", "--preset", "qick"], "quick"),
        (["decide", "run", "--use-case", "reserch"], "research"),
    ],
)
def test_a_similar_name_is_suggested(arguments: list[str], name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"did you mean {name}?" in read_error(capsys, *arguments)


def test_an_error_has_the_usage_of_its_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert read_error(capsys, "report").splitlines()[1:] == ["Usage: crossframe report [OPTIONS] RUN"]
    assert read_error(capsys, "plan", "--task", "nothing").splitlines()[1:] == ["Usage: crossframe plan [OPTIONS]"]
    assert "Usage: crossframe [OPTIONS] COMMAND" in read_error(capsys, "nothing")


def test_a_time_budget_needs_a_unit(capsys: pytest.CaptureFixture[str]) -> None:
    assert "'10' has no unit: write 10s, 10m or 10h" in read_error(capsys, "plan", "--time-budget", "10")


def test_a_backend_has_one_interpreter(capsys: pytest.CaptureFixture[str]) -> None:
    python = f"torch={sys.executable}"
    message = read_error(capsys, "plan", "--python", python, "--python", python)
    assert "torch has several interpreters; name one" in message


def test_a_wrong_interpreter_is_missing_and_nothing_is_written(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cases = {
        "": "can't be executed (Permission denied)",
        "#!/bin/sh\n": "is not a Python interpreter",
        "#!/bin/sh\necho '[]'\n": "has no NumPy; run `",
        "#!/bin/sh\necho '[\"numpy\"]'\n": "has no torch; run `",
    }
    path = tmp_path / "python"
    for text, message in cases.items():
        path.write_text(text)
        path.chmod(0o755 if text else 0o644)
        assert program.main(["run", "--python", f"torch={path}"]) == ExitCode.MISSING
        (line,) = capsys.readouterr().err.splitlines()
        assert f"--python torch={path} {message}" in line
    assert list(tmp_path.iterdir()) == [path]


def test_an_interpreter_with_the_packages_is_accepted() -> None:
    environments.check_interpreter("any", ["absent", "click", "numpy"], Path(sys.executable))


def test_the_name_of_an_interpreter_is_checked(capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean torch?" in read_error(capsys, "plan", "--python", f"pytorch={sys.executable}")


def test_modes_that_the_cpu_cannot_run_are_left_out_of_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["plan", "--device", "cpu", "--mode", "all"]) == ExitCode.DONE
    text = " ".join(capsys.readouterr().out.split())
    assert "unsupported on cpu: PyTorch reduce-overhead: " in text
    assert "unsupported on cpu: JAX scan on cnn: " in text


def test_the_command_of_a_run_can_be_read_again() -> None:
    chosen = replace(RunOptions(cpus=[0]), time_budget_s=90.0)
    words = options.write_run_command(chosen)
    assert "--time-budget 90s" in words
    assert "--threads 1" in words


@pytest.mark.parametrize("words", ["--task cnn --backend torch", "--task cnn --backend torch --threads 1"])
def test_a_plan_ends_with_the_command_that_starts_it(
    words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    assert program.main(["plan", *words.split()]) == ExitCode.DONE
    assert capsys.readouterr().err == f"to start it: crossframe run {words}\n"


@pytest.mark.parametrize("arguments", [[], ["--wide"]])
def test_a_report_begins_with_the_answer_and_ends_with_its_place(
    arguments: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    run = save_run(tmp_path / "run", make_three())
    assert program.main(["report", str(run), *arguments]) == ExitCode.DONE
    output = capsys.readouterr()
    if arguments:
        assert "host peak MB" in output.out
    else:
        assert output.out.startswith("a eager trains circle 1.50x as fast as b eager")
        assert max(map(len, output.out.splitlines())) <= 80
    assert output.err == f"HTML report: crossframe report {run} --format html\n"
    (run / "report.html").touch()
    assert program.main(["report", str(run)]) == ExitCode.DONE
    assert capsys.readouterr().err == f"report: {run / 'report.html'}\n"
