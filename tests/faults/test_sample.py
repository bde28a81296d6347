"""A sample of the campaign of faults; `python -m tests.faults` tries all of them."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from crossframe.backends import read_backend
from tests.faults import hostile_files, mutations, signals, workers
from tests.faults.model import Fault, format_table
from tests.support.readers import READERS

# One of each cause: an archive, a number, an object of JSON, a pipe, no number, processes, the folder.
MODES = [
    "outputs_truncated", "first_step_s_text", "measures_deep", "outputs_pipe", "export_nan",
    "child_daemon_no_variables", "folder_swapped", "predict_flat", "settings_empty", "log_filled",
]  # fmt: skip


def list_problems(faults: list[Fault]) -> list[str]:
    return [f"{fault.name}: {fault.problem}" for fault in faults if fault.problem]


def test_the_manifest_lists_the_modes_of_the_backend() -> None:
    from tests.third_party.misbehaving_backend import misbehaving

    manifest = read_backend("misbehaving", "misbehaving", workers.BACKEND / "misbehaving").manifest
    assert tuple(manifest.modes) == misbehaving.MODES
    assert {*MODES, *workers.HARMLESS} <= set(manifest.modes)


def test_misbehaving_jobs_end_in_a_record_and_harm_no_other(tmp_path: Path) -> None:
    faults = list(workers.try_run(MODES, tmp_path / "run"))
    assert [fault.name for fault in faults] == MODES
    assert not list_problems(faults)


def test_the_harness_stays_small_whatever_jobs_leave(tmp_path: Path) -> None:
    modes = ["outputs_largest", "checks_largest", "measures_largest", "outputs_larger"]
    assert not list_problems(list(workers.try_run(modes, tmp_path / "run")))


@pytest.mark.parametrize("name", hostile_files.FILES)
def test_a_file_in_place_of_which_something_else_lies_is_named(tmp_path: Path, name: str) -> None:
    for kind in ("torn", "pipe"):
        run = hostile_files.make_runs(tmp_path / "runs")
        content = (run / name).read_bytes()
        (run / name).unlink()
        hostile_files.PLANTS[kind](run / name)
        if kind == "torn":
            (run / name).write_bytes(content[: len(content) // 2])
        assert not list(hostile_files.run_commands(run))


def test_fields_of_other_types_are_named(tmp_path: Path) -> None:
    assert not list_problems(list(hostile_files.try_fields(tmp_path / "runs", 6, seed=1)))


def test_files_that_are_changed_at_random_are_read_or_named(tmp_path: Path) -> None:
    faults = list(mutations.try_mutations(tmp_path / "changed", 60, seed=1))
    assert len({fault.name.rpartition(" ")[0] for fault in faults}) > len(READERS)
    assert not list_problems(faults)


def write_beside(folder: Path) -> None:
    (folder.parent / "written").touch()


def unpickle(folder: Path) -> object:
    with (folder / "outputs.npz").open("rb") as file, np.load(file, allow_pickle=True) as stored:
        return [stored[name] for name in stored.files]


@pytest.mark.parametrize(
    ("read", "problem"),
    [
        (lambda folder: vars(folder)["missing"], "Error"),
        (lambda folder: time.sleep(10), "not done after 0.1 s"),
        (write_beside, "was written"),
        (unpickle, "it was executed"),
    ],
)
def test_a_reader_that_fails_is_in_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Callable[[Path], object], problem: str
) -> None:
    arrays = replace(READERS["arrays"], read=read, errors=(ValueError,) if read is unpickle else ())
    monkeypatch.setattr(mutations, "READERS", {"arrays": arrays})
    monkeypatch.setattr(mutations, "LIMIT_S", 0.1 if "not done" in problem else 10.0)
    monkeypatch.setattr(mutations, "READ", 1.0)
    monkeypatch.setattr(mutations, "COMMANDS", 0.0)
    monkeypatch.setattr(mutations, "MODELS", 0.0)
    faults = list(mutations.try_mutations(tmp_path / "changed", 40 if read is unpickle else 1))
    assert problem in "\n".join(list_problems(faults))


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    assert not list(signals.try_signal(tmp_path, signals.TARGETS[0], signal.SIGKILL, 3.0))


def test_a_process_that_lives_on_is_found(tmp_path: Path) -> None:
    variable = f"{signals.MARK}={tmp_path}\0"
    assert not list(signals.find_processes(variable))
    with subprocess.Popen(["sleep", "60"], env={signals.MARK: str(tmp_path)}) as process:
        assert str(process.pid) in next(signals.find_processes(variable))
        process.kill()


def test_a_fault_that_is_lost_is_in_the_table() -> None:
    faults = [Fault("a", "first", None), Fault("a", "second", "it hangs"), Fault("b", "third", None)]
    lines = format_table(faults, {"a": 60.0, "b": 30.0}).splitlines()
    assert lines[2:5] == ["| a | 2 | 1 | 1 | 1.0 |", "| b | 1 | 1 | 0 | 0.5 |", "| all | 3 | 2 | 1 | 1.5 |"]
    assert lines[6:] == ["- a, second: it hangs"]
