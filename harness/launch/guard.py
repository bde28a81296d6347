"""A process that outlives the harness and then kills everything that the harness has started and left.

A harness that is killed cannot end its workers. Every process that it starts inherits a mark in its environment
variables, and those that were seen in a job are reported to the guard, whatever they did to their variables. The guard
waits for the end of the harness, without polling, and kills all of them. It runs as a program of its own, with the
standard library only.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
import uuid
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

MARK = "CROSSFRAME_HARNESS"  # environment variable
WATCH_S = 3.0  # how long the guard looks for processes that were just about to start
PERIOD_S = 0.05

_lock = threading.Lock()
_pipes: dict[int, int] = {}  # id of this process, not of one that it was forked from -> pipe to its guard


def ensure_guard() -> None:
    """Start the guard of this process, once, and mark the processes that will be started."""
    with _lock:
        if os.getpid() in _pipes:
            return
        mark = uuid.uuid4().hex
        variables = {name: value for name, value in os.environ.items() if name != MARK}
        reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        silent = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in (1, 2)]
        files = [(os.POSIX_SPAWN_DUP2, reading, 0), *silent]
        command = [sys.executable, "-I", "-S", __file__, str(os.getpid()), mark]
        os.posix_spawn(sys.executable, command, variables, file_actions=files, setsid=True)
        os.close(reading)
        os.environ[MARK] = mark
        _pipes[os.getpid()] = writing


def report_processes(pids: Iterable[int]) -> None:
    """Tell the guard that these processes belong to a job; nothing without a guard."""
    pipe = _pipes.get(os.getpid())
    if pipe is not None:
        with suppress(OSError):  # the guard has ended, or is busy
            os.write(pipe, b"".join(b"%d\n" % pid for pid in pids))


def find_marked(mark: str) -> list[int]:
    """Return the ids of the processes that have the mark."""
    expected, pids = f"{MARK}={mark}".encode(), []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if expected in (folder / "environ").read_bytes().split(b"\0"):
                pids.append(int(folder.name))
    return pids


def read_start(pid: int) -> str | None:
    """Return when a process was started, which tells it from a later one of the same id; None if it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return None


def wait_for_end(harness: int) -> dict[int, str | None]:
    """Wait for the end of the harness; return the processes that it reported, with their start."""
    members: dict[int, str | None] = {}
    try:
        ended = os.pidfd_open(harness)
    except ProcessLookupError:
        return members
    poll, rest = select.poll(), b""
    poll.register(ended, select.POLLIN)
    poll.register(0, select.POLLIN)
    while True:
        ready = [descriptor for descriptor, _ in poll.poll()]
        if 0 in ready:
            part = os.read(0, 1 << 16)
            if not part:  # no process can write any more
                poll.unregister(0)
            *lines, rest = (rest + part).split(b"\n")
            members |= {int(line): read_start(int(line)) for line in lines}
            members = {pid: started for pid, started in members.items() if started is not None}
        elif ended in ready:
            return members


def guard(harness: int, mark: str) -> None:
    """Wait for the end of the harness, then kill what it left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    members = wait_for_end(harness) if os.getppid() == harness else {}
    end = time.monotonic() + WATCH_S
    while time.monotonic() < end:
        present = [pid for pid, started in members.items() if read_start(pid) == started]
        for pid in [*find_marked(mark), *present]:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(PERIOD_S)


if __name__ == "__main__":
    guard(int(sys.argv[1]), sys.argv[2])
