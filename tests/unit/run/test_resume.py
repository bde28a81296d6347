"""A run folder is data: no program, no path and no replaced inputs come from it, and one process works in it."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crossframe.harness.cli.program import main
from crossframe.harness.errors import DamagedFileError, UsageError
from crossframe.harness.files import below, lock_folder
from crossframe.harness.plan.plan import Plan, make_plan
from crossframe.harness.portability.runtime_matrix import Resources
from crossframe.harness.portability.session import PortabilityOptions, require_interpreters
from crossframe.harness.records import store
from crossframe.harness.records.model import RunOptions
from crossframe.harness.report.page.page import write_page
from crossframe.harness.run.execution import Execution
from crossframe.harness.run.folder import start_run
from crossframe.harness.run.pins import ChangedInputsError, Pins, read_pins
from crossframe.harness.run.resume import is_curable, list_finished, restore_inputs, resume_command, take_programs
from crossframe.harness.worker.states import State
from tests.support.synthetic import make_record

pytestmark = pytest.mark.frameworks  # starts runs, which takes seconds

OPTIONS = RunOptions(task=["circle"], backend=["reference"], device="cpu", preset="quick", cpus=[0])


@pytest.fixture
def plan() -> Plan:
    return make_plan(OPTIONS)


@pytest.fixture
def run(tmp_path: Path, plan: Plan) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    start_run(plan, folder)
    return folder


def name_interpreter(run: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Put an interpreter into `run.json`; return its path and the file that it makes when it is executed."""
    script, trace = tmp_path / "python", tmp_path / "executed"
    script.write_text(f"#!/bin/sh\ntouch {trace}\n")
    script.chmod(0o755)
    stored = json.loads((run / "run.json").read_text())
    stored["options"]["python"] = {"reference": str(script)}
    (run / "run.json").write_text(json.dumps(stored))
    return script, trace


def test_an_interpreter_of_the_folder_is_never_executed(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script, trace = name_interpreter(run, tmp_path)
    assert main(["run", "--resume", str(run)]) == 2
    assert not trace.exists()
    assert f"crossframe run --resume {run} --python reference={script}" in capsys.readouterr().err
    info = store.read_run(run)
    confirmed = take_programs(info, RunOptions(python={"reference": str(script)}), run)
    assert confirmed.options.python == {"reference": str(script)}
    with pytest.raises(UsageError, match="interpreters with which it was started"):
        take_programs(info, RunOptions(python={"reference": "/other"}), run)


def test_portability_executes_no_interpreter_of_the_folder(run: Path, tmp_path: Path) -> None:
    script, _ = name_interpreter(run, tmp_path)
    options = PortabilityOptions(["circle"], ["reference"], [], [13], False, False, False, Resources(60, [0]))
    with pytest.raises(UsageError, match=f"add --python reference={script}"):
        require_interpreters(run, options)
    named = replace(options, resources=Resources(60, [0], python={"reference": script}))
    require_interpreters(run, named)
    require_interpreters(run, replace(options, opsets=[]))  # nothing is exported again


def test_the_folder_of_data_is_that_of_the_command_line(run: Path) -> None:
    info = store.read_run(run)
    info = replace(info, options=replace(info.options, data_dir="/from/elsewhere"))
    assert take_programs(info, OPTIONS, run).options.data_dir is None
    assert resume_command(run, replace(OPTIONS, data_dir="/my data")).endswith("--data-dir '/my data'")


@pytest.mark.parametrize("part", ["jobs", "inputs"])
def test_nothing_is_written_below_a_link(run: Path, plan: Plan, tmp_path: Path, part: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine").write_text("mine")
    shutil.rmtree(run / part, ignore_errors=True)
    (run / part).symlink_to(elsewhere, target_is_directory=True)
    execution = Execution(plan, run, {}, {}, {}, [], None, None)  # type: ignore[arg-type]
    writes: dict[str, Callable[[], object]] = {
        "jobs": lambda: execution.job_folder(plan.jobs[0]),
        "inputs": lambda: start_run(plan, run),
    }
    with pytest.raises(DamagedFileError, match="is a link"):
        writes[part]()
    assert [path.name for path in elsewhere.iterdir()] == ["mine"]


def test_the_page_is_not_written_through_a_link(run: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (run / "report.html").symlink_to(victim)
    write_page(run)
    assert victim.read_text() == "mine"
    assert not (run / "report.html").is_symlink()


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "/etc", "a\0b"])
def test_no_name_leads_out_of_a_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(DamagedFileError):
        below(tmp_path, "jobs", name)


def test_one_process_works_in_a_folder(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with lock_folder(run):
        assert main(["run", "--resume", str(run)]) == 2
    assert "is in use: another crossframe works in it" in capsys.readouterr().err
    assert not (run / "records.jsonl").exists()
    with lock_folder(run):
        pass


def change(path: Path) -> None:
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files}
    np.savez(path, **{**arrays, "x_test": arrays["x_test"] + 1})


def link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


PLANTS: dict[str, Callable[[Path], Any]] = {
    "replaced": change,
    "torn": lambda path: path.write_bytes(path.read_bytes()[:100]),
    "link": link,
}


@pytest.mark.parametrize("plant", PLANTS.values(), ids=PLANTS)
def test_inputs_that_were_replaced_are_refused(run: Path, plan: Plan, plant: Callable[[Path], Any]) -> None:
    path = run / "inputs" / "circle-64.npz"
    original = path.read_bytes()
    restore_inputs(plan, run)
    plant(path)
    pins = Pins(read_pins(run) or {})
    with pytest.raises(ChangedInputsError, match=r"circle-64\.npz"):
        pins.require(path)
    with pytest.raises(UsageError, match=r"circle-64\.npz|is a link"):
        restore_inputs(plan, run)
    path.unlink()
    restore_inputs(plan, run)
    assert path.read_bytes() == original


def test_an_error_of_the_system_is_no_change_of_the_inputs(
    run: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(path: Path) -> str:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    monkeypatch.setattr("crossframe.harness.run.pins.digest_file", fail)
    assert main(["run", "--resume", str(run)]) == 3
    assert capsys.readouterr().err.endswith("circle-64.npz: Input/output error; the disk may be faulty\n")
    execution = Execution(plan, run, {}, {}, {}, [], None, Pins(read_pins(run) or {}))  # type: ignore[arg-type]
    outcome = execution.launch_job(plan.jobs[0], object())  # type: ignore[arg-type]
    assert (outcome.state, "Input/output error" in str(outcome.reason)) == (State.FAILED, True)


def test_inputs_that_are_changed_during_a_run_fail_the_job(run: Path, plan: Plan) -> None:
    change(run / "inputs" / "circle-64.npz")
    execution = Execution(plan, run, {}, {}, {}, [], None, None, Pins(read_pins(run) or {}))  # type: ignore[arg-type]
    outcome = execution.launch_job(plan.jobs[0], object())  # type: ignore[arg-type]
    assert outcome.state == State.FAILED
    assert "are not those with which the run was started" in str(outcome.reason)


@pytest.mark.parametrize(
    ("state", "reason", "curable"),
    [
        (State.OK, None, False),
        (State.FAILED, "RuntimeError: the planted error", False),
        (State.FAILED, "OSError: [Errno 28] No space left on device", True),
        (State.FAILED, "its outputs can't be evaluated: PermissionError: [Errno 13] Permission denied", True),
        (State.FAILED, "its outputs can't be evaluated: MemoryError", True),
        (State.FAILED, "the inputs circle-64.npz can't be read: gone", True),
        (State.NOT_INSTALLED, "its environment could not be made", True),
        (State.TIMEOUT, "not done after 6 s", False),
        (State.OUT_OF_MEMORY, "killed by the kernel because memory ran out", False),
    ],
)
def test_jobs_that_failed_for_a_reason_that_can_go_run_again(state: State, reason: str | None, curable: bool) -> None:
    record = replace(make_record("a", 1, 0.01), state=state, reason=reason)
    assert is_curable(record) == curable
    assert list_finished([record]) == (set() if curable else {record.job})
