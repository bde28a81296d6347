"""Jobs of a backend that misbehaves in every way: each ends in a record, and the next job runs unharmed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from crossframe.backends import read_backend
from crossframe.harness.records import store
from crossframe.harness.records.model import Record
from crossframe.harness.worker.states import State
from tests.conftest import THIRD_PARTY
from tests.faults.model import Fault

GROUP = "workers"
BACKEND = THIRD_PARTY / "misbehaving_backend"
HONEST = "honest"
CHUNK = 25  # modes of a run
TIMEOUT_S = 30  # of a job
END_S = 5.0  # after which nothing may be left running
HARNESS_BYTES = 150_000_000  # most memory of the harness itself, without parity; measured: 95 MB
# The command line, which leaves the most memory that it needed in a file.
PROGRAM = """
import re, sys
from pathlib import Path
from crossframe.harness.cli.program import main
code = main(sys.argv[2:])
status = Path("/proc/self/status").read_text()
Path(sys.argv[1]).write_text(re.search(r"VmHWM:\\s*(\\d+) kB", status)[1])
sys.exit(code)
"""
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]")
TRACEBACK = re.compile("^Traceback", re.MULTILINE)
FORMATS = ("table", "json", "csv", "md", "html")

# Modes that change nothing that a result depends on: their jobs may end well.
HARMLESS = frozenset([
    "predict_list", "weights_extra", "settings_details_controls", "settings_details_numbered", "sync_long",
    "train_prints", "train_closes_files", "train_closes_output", "train_changes_folder", "export_prints",
    "export_closes_files", "export_closes_output", "export_changes_folder",
    "child", "child_new_session", "child_no_variables", "child_daemon", "child_daemon_no_variables", "child_stopped",
    "child_daemon_forged", "child_restarts", "children_many", "threads", "no_more_files", "little_memory",
    "goes_elsewhere",
    "outputs_forbidden", "checks_forbidden", "model_forbidden", "measures_forbidden",  # root may read them
    "first_step_s_null", "host_peak_bytes_null", "step_samples_s_null", "receipt_null", "curve_empty",  # named gaps
    "epochs_empty", "step_samples_s_list", "samples_many", "reason_controls", "name_of_version_controls",
    "key_unknown", "check_rows_integers", "log_filled", "log_removed", "log_pipe", "job_removed", "many_files",
    "names_odd", "folder_read_only", "folder_forbidden", "outputs_largest", "checks_largest", "measures_largest",
])  # fmt: skip


def list_modes() -> list[str]:
    """Return all modes of the backend but the honest one."""
    return list(read_backend("misbehaving", "misbehaving", BACKEND / "misbehaving").manifest.modes[1:])


def run_command(*arguments: str, cwd: Path, timeout_s: float = 900) -> subprocess.CompletedProcess[str]:
    """Run `crossframe` in a process in which the backend is installed; `peak` in `cwd` gets its peak memory in kB."""
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, str(cwd / "peak"), *arguments],
        env={**os.environ, "PYTHONPATH": str(BACKEND)},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout_s,
        cwd=cwd,
        check=False,
    )


def try_workers(modes: Sequence[str], folder: Path) -> Iterator[Fault]:
    """Try modes in runs of `CHUNK` of them; each run has an honest job too, which must end well."""
    for start in range(0, len(modes), CHUNK):
        part = modes[start : start + CHUNK]
        yield from try_run(part, folder / f"run-{start}")


def try_run(modes: Sequence[str], run: Path) -> Iterator[Fault]:
    """Try modes in one run."""
    selection = ["--backend", "misbehaving", "--mode", ",".join([*modes, HONEST]), "--task", "circle"]
    options = ["--preset", "quick", "--repeats", "1", "--no-parity", "--timeout", str(TIMEOUT_S), "--out", str(run)]
    done = run_command("run", *selection, *options, cwd=run.parent, timeout_s=60 + 3 * TIMEOUT_S * len(modes))
    left = find_children()
    problems = [*check_memory(run.parent / "peak"), *check_end(done), *check_formats(run)]
    try:
        records = {record.cell.mode: record for record in store.read(run)[0]}
    except store.NoRunError:
        records = {}
    if HONEST not in records or not passed(records[HONEST]):
        problems.append("the honest neighbour did not end well")
    if left:
        problems.append(f"{len(left)} processes live on")
    for mode in modes:
        faults = filter(None, [check_record(mode, records.get(mode)), *problems])
        yield Fault(GROUP, mode, "; ".join(faults) or None)


def check_end(done: subprocess.CompletedProcess[str]) -> Iterator[str]:
    """Yield the problems of the end of a command."""
    if done.returncode not in (0, 1, 4):
        yield f"code {done.returncode}: {done.stderr.strip()[-200:]}"
    if TRACEBACK.search(done.stderr):  # not one that a reason quotes from the log of a worker
        yield f"traceback: {done.stderr.strip()[-200:]}"
    if CONTROLS.search(done.stderr + done.stdout):
        yield "control characters in the output"


def check_memory(peak: Path) -> Iterator[str]:
    """Yield the problem of the memory of the last command."""
    peak_bytes = 1024 * int(peak.read_text()) if peak.exists() else 0
    if not 0 < peak_bytes <= HARNESS_BYTES:
        yield f"the harness needed {peak_bytes / 1e6:.0f} MB"


def check_formats(run: Path) -> Iterator[str]:
    """Yield the problems of the report of a run in all formats."""
    for name in FORMATS:
        done = run_command("report", str(run), "--format", name, cwd=run.parent)
        if done.returncode or TRACEBACK.search(done.stderr):
            yield f"report as {name}: {done.stderr.strip()[-200:]}"
        if name == "json" and not done.returncode:
            json.loads(done.stdout, parse_constant=reject_constant)


def reject_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def check_record(mode: str, record: Record | None) -> str | None:
    """Return the problem of the record of a mode; None if it is as it must be."""
    if record is None:
        return "no record"
    if record.state != State.OK and not record.reason:
        return f"{record.state} without a reason"
    if record.reason and (len(record.reason) > 3000 or CONTROLS.search(record.reason)):
        return "its reason is too long, or has control characters"
    if passed(record) and mode not in HARMLESS:
        return "passed"
    return None


def passed(record: Record) -> bool:
    """Return whether nothing failed: neither the job, nor its file, nor a check."""
    evaluation = record.evaluation
    if record.state != State.OK or evaluation is None or evaluation.onnx is None:
        return False
    return evaluation.onnx.state == State.OK and all(check.passed for check in evaluation.checks)


def find_children() -> list[int]:
    """Return the processes of misbehaving jobs that are left after `END_S`."""
    end = time.monotonic() + END_S
    while left := [pid for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))) if is_child(pid)]:  # noqa: PTH208
        if time.monotonic() > end:
            return left
        time.sleep(0.1)
    return []


def is_child(pid: int) -> bool:
    try:
        return b"misbehaving-child" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
