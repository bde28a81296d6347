"""The worker processes that are running: waiting for one, and ending them."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

RUNNING: set[int] = set()  # process ids of the running workers


def wait_for_exit(process: subprocess.Popen[bytes], timeout_s: float) -> bool:
    """Block until the process ends or the timeout expires; return whether it ended in time.

    The wait does not poll: polling would take processor time from the measured process.
    """
    descriptor = os.pidfd_open(process.pid)
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(timeout_s * 1000))
    finally:
        os.close(descriptor)


def end_group(pid: int) -> None:
    """Kill a worker and every process that it started."""
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def end_all() -> None:
    """Kill all running workers. Needed on an interrupt, which reaches the main thread only."""
    for pid in tuple(RUNNING):
        end_group(pid)


def count_out_of_memory_kills() -> int:
    """Return how many processes the kernel killed since boot because memory ran out; 0 if it does not count them."""
    counters = Path("/proc/vmstat")
    lines = counters.read_text().splitlines() if counters.exists() else []
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
