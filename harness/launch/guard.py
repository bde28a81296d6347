"""A process that outlives the harness and then kills everything that the harness has started and left.

A harness that is killed cannot end its workers. Every process that it starts inherits a mark in its environment
variables. The guard waits for the end of the harness, without polling, and kills the processes that have the mark.
It runs as a program of its own, with the standard library only.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path

MARK = "CROSSFRAME_HARNESS"  # environment variable
WATCH_S = 3.0  # how long the guard looks for processes that were just about to start
PERIOD_S = 0.05

_lock = threading.Lock()
_guarded: set[int] = set()  # process ids: that of this process, not of one that it was forked from


def ensure_guard() -> None:
    """Start the guard of this process, once, and mark the processes that will be started."""
    with _lock:
        if os.getpid() in _guarded:
            return
        mark = uuid.uuid4().hex
        variables = {name: value for name, value in os.environ.items() if name != MARK}
        silent = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in range(3)]
        command = [sys.executable, "-I", "-S", __file__, str(os.getpid()), mark]
        os.posix_spawn(sys.executable, command, variables, file_actions=silent, setsid=True)
        os.environ[MARK] = mark
        _guarded.add(os.getpid())


def find_marked(mark: str) -> list[int]:
    """Return the ids of the processes that have the mark."""
    expected, pids = f"{MARK}={mark}".encode(), []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if expected in (folder / "environ").read_bytes().split(b"\0"):
                pids.append(int(folder.name))
    return pids


def guard(harness: int, mark: str) -> None:
    """Wait for the end of the harness, then kill what it left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with suppress(ProcessLookupError):
        poll = select.poll()
        poll.register(os.pidfd_open(harness), select.POLLIN)
        if os.getppid() == harness:
            poll.poll()
    end = time.monotonic() + WATCH_S
    while time.monotonic() < end:
        for pid in find_marked(mark):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(PERIOD_S)


if __name__ == "__main__":
    guard(int(sys.argv[1]), sys.argv[2])
