"""The memory and the processors of all processes of a job, as its parent sees them, and their end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from crossframe.backends import discover, read_backend
from crossframe.harness.launch.job_processes import TOKEN, JobProcesses, exists, is_alive, read_token
from crossframe.harness.machine.environments import Environment
from crossframe.harness.selftest.known_costs import add_known_cost, select_smallest_task
from crossframe.harness.selftest.step_timer import StepTimer
from tests.conftest import THIRD_PARTY

pytestmark = pytest.mark.frameworks  # starts processes for seconds

PYTHON = Environment(Path(sys.executable))
SIZE = 64 << 20
CPUS = sorted(os.sched_getaffinity(0))


@pytest.mark.frameworks  # measures for seconds
@pytest.mark.parametrize("holder", ["worker", "freed", "reset", "child", "grandchild"])
def test_memory_counts_whoever_holds_it(tmp_path: Path, holder: str) -> None:
    reference, timer = discover()["reference"], StepTimer(tmp_path, CPUS[:1], "cpu", 60)
    peaks = [
        timer.time_steps(
            select_smallest_task(), add_known_cost(reference, bytes=size, holder=holder), PYTHON
        ).host_peak_bytes
        for size in (0, SIZE)
    ]
    assert None not in peaks
    assert peaks[1] - peaks[0] == pytest.approx(SIZE, abs=2e6)  # type: ignore[operator]


@pytest.mark.skipif(len(CPUS) < 2, reason="needs two processors")
@pytest.mark.parametrize("mode", ["thread_widens", "thread_widens_for_a_while", "child_widens"])
def test_processors_count_whichever_thread_uses_them(tmp_path: Path, mode: str) -> None:
    backend = read_backend("greedy", "greedy", THIRD_PARTY / "greedy")
    backend = replace(backend, manifest=replace(backend.manifest, modes=(mode,)))
    receipt = StepTimer(tmp_path, CPUS[:1], "cpu", 60).time_steps(select_smallest_task(), backend, PYTHON).receipt
    assert receipt is not None
    assert receipt.cpus == CPUS


def test_an_honest_worker_has_the_processors_that_it_was_given(tmp_path: Path) -> None:
    """Threads that a library starts before the worker sets its affinity have it as well."""
    backend = read_backend("greedy", "greedy", THIRD_PARTY / "greedy")
    receipt = StepTimer(tmp_path, CPUS[:1], "cpu", 60).time_steps(select_smallest_task(), backend, PYTHON).receipt
    assert receipt is not None
    assert receipt.cpus == CPUS[:1]


def test_a_process_that_left_the_process_group_ends_with_the_job(tmp_path: Path) -> None:
    backend = read_backend("greedy", "greedy", THIRD_PARTY / "greedy")
    backend = replace(backend, manifest=replace(backend.manifest, modes=("leaves_a_daemon",)))
    StepTimer(tmp_path, CPUS[:1], "cpu", 60).time_steps(select_smallest_task(), backend, PYTHON)
    pid = int((tmp_path / "job" / "daemon.pid").read_text())
    deadline = time.monotonic() + 5
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize("forged", [None, b"", b"0" * 32, b"\xff"])
def test_a_daemon_does_not_escape_by_the_token_of_no_job(forged: bytes | None) -> None:
    """Its parent has ended, and it has a session of its own, and variables of its own."""
    env_vars = {} if forged is None else {TOKEN: forged}
    code = (
        "import os, sys\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if (pid := os.fork()) == 0:\n"
        f"        os.execve('/bin/sleep', ['sleep', '60'], {env_vars!r})\n"
        "    print(pid, flush=True)\n"
        "    os._exit(0)\n"
        "os.wait()\n"
    )
    with JobProcesses() as processes:
        command = [sys.executable, "-c", code]
        with subprocess.Popen(
            command, env=processes.env_vars, stdout=subprocess.PIPE, start_new_session=True
        ) as worker:
            processes.add_worker(worker.pid)
            assert worker.stdout is not None
            pid = int(worker.stdout.readline())
        assert exists(pid)
    try:
        assert not is_alive(pid)
    finally:
        if exists(pid):
            os.kill(pid, signal.SIGKILL)


def test_other_children_of_this_process_are_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "600"], start_new_session=True, env={}) as bystander:
        try:
            reference, timer = discover()["reference"], StepTimer(tmp_path, CPUS[:1], "cpu", 60)
            timer.time_steps(select_smallest_task(), reference, PYTHON)
            assert bystander.poll() is None
        finally:
            bystander.kill()


def test_the_worker_of_a_concurrent_job_is_not_included_before_its_program_starts() -> None:
    """Between fork and exec it is a child of this process in another session, without the token of its job."""
    with JobProcesses() as processes:
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.setsid()
            os.write(writing, b".")
            time.sleep(60)
            os._exit(0)
        os.read(reading, 1)
        assert pid not in processes.update()
    assert exists(pid)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(reading)
    os.close(writing)


def test_a_token_that_is_no_text_is_that_of_no_job() -> None:
    with subprocess.Popen(["sleep", "60"], env={TOKEN.encode(): b"\xff"}) as process:
        try:
            deadline = time.monotonic() + 5
            while read_token(process.pid) is None and time.monotonic() < deadline:  # its program has not started yet
                time.sleep(0.01)
            assert read_token(process.pid) == "\ufffd"
        finally:
            process.kill()
