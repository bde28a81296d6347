"""Nothing that a job started lives on, however the harness ends: by itself, by a signal, or by SIGKILL."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from crossframe.harness.launch.guard import find_marked
from crossframe.harness.launch.processes import RUNNING, hold_interrupts, run_process
from tests.conftest import ROOT

pytestmark = pytest.mark.frameworks  # starts processes for seconds

# A harness whose worker starts a child in a session of its own, and never ends.
HARNESS = """
import signal, sys
from pathlib import Path
from crossframe.backends import Plugin
from crossframe.backends.contract import Precision
from crossframe.backends.manifest import EnvironmentManifest
from crossframe.harness.cli.program import handle_signals
from crossframe.harness.launch.launch import launch
from crossframe.harness.worker.jobs import CeilingJob

handle_signals()
folder = Path(sys.argv[1])
job = CeilingJob(cpus=[0], module="any", packages=[], mode="any", device="cpu", precision=Precision.FLOAT32)
plugin = Plugin("any", "any", folder, EnvironmentManifest(title="any", packages=("numpy",)))
launch(folder / "python", plugin, job, folder / "job", 600)
"""
WORKER = """#!/bin/sh
setsid sh -c 'echo $$ > {folder}/child; exec sleep 600' &
setsid env --ignore-environment sh -c 'sleep 600 & echo $! > {folder}/daemon' &
echo $$ > {folder}/worker
exec sleep 600
"""
WAIT_S = 10.0


def start_harness(folder: Path) -> tuple[subprocess.Popen[bytes], list[int]]:
    """Start a harness; return it and the ids of the processes of its job."""
    python = folder / "python"
    python.write_text(WORKER.format(folder=folder))
    python.chmod(0o755)
    harness = subprocess.Popen(
        [sys.executable, "-c", HARNESS, str(folder)],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
        # A shell that starts the tests in the background has them ignore signals.
        preexec_fn=lambda: [signal.signal(number, signal.SIG_DFL) for number in (signal.SIGINT, signal.SIGHUP)],
    )
    files = [folder / name for name in ("worker", "child", "daemon")]
    end = time.monotonic() + 30
    while not all(file.exists() and file.read_text().endswith("\n") for file in files):
        assert time.monotonic() < end, "the worker did not start"
        time.sleep(0.01)
    time.sleep(1.0)  # the parent of the daemon has ended, and the harness has seen it
    return harness, [int(file.read_text()) for file in files]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def wait_for_end(pids: list[int]) -> None:
    end = time.monotonic() + WAIT_S
    while alive := [pid for pid in pids if is_alive(pid)]:
        assert time.monotonic() < end, f"{alive} live on"
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGSEGV])
def test_nothing_lives_on_after_the_harness(tmp_path: Path, number: signal.Signals) -> None:
    harness, pids = start_harness(tmp_path)
    assert all(map(is_alive, pids))
    harness.send_signal(number)
    harness.wait(WAIT_S)
    wait_for_end(pids)


def test_the_guard_ends_too(tmp_path: Path) -> None:
    harness, pids = start_harness(tmp_path)
    listed = subprocess.run(["pgrep", "-f", f"guard.py {harness.pid} "], capture_output=True, text=True, check=False)
    guards = [int(pid) for pid in listed.stdout.split()]
    assert len(guards) == 1
    os.kill(harness.pid, signal.SIGKILL)
    harness.wait(WAIT_S)
    wait_for_end([*pids, *guards])


def test_processes_are_found_by_their_mark() -> None:
    mark = os.urandom(8).hex()
    process = subprocess.Popen(["sleep", "60"], env={"CROSSFRAME_HARNESS": mark})
    try:
        assert find_marked(mark) == [process.pid]
        assert find_marked("another") == []
    finally:
        process.kill()
        process.wait()


def test_a_signal_is_held_while_a_worker_starts() -> None:
    """Ctrl-C in the moment of the start must not leave a process without an owner."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        signal.raise_signal(signal.SIGINT)
        started.append(subprocess.Popen(["sleep", "60"], start_new_session=True))
        return started[0]

    with pytest.raises(KeyboardInterrupt), run_process(start):
        pytest.fail("the signal was lost")
    assert started[0].returncode == -signal.SIGKILL
    assert started[0].pid not in RUNNING


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with hold_interrupts():
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
