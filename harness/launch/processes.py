"""The worker processes that are running: starting one, waiting for it, and ending all."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

RUNNING: set[int] = set()  # process ids of the running workers
STARTING = threading.Lock()  # held while a worker is started and not in `RUNNING` yet
INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def hold_interrupts() -> Iterator[None]:
    """Delay signals that end this program to the end of the block: a process that starts would have no owner yet."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals reach the main thread only
        return
    held: list[int] = []
    handlers = {number: handler for number in INTERRUPTS if callable(handler := signal.getsignal(number))}
    for number in handlers:
        signal.signal(number, lambda number, _: held.append(number))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if held:
            signal.raise_signal(held[0])


@contextmanager
def run_process(start: Callable[[], subprocess.Popen[bytes]]) -> Iterator[subprocess.Popen[bytes]]:
    """Start a worker, and end it and its process group when the block ends, however it ends."""
    process = None
    try:
        with hold_interrupts(), STARTING:
            process = start()
            RUNNING.add(process.pid)
        yield process
    finally:
        if process is not None:
            end_group(process.pid)
            process.kill()
            process.wait()
            RUNNING.discard(process.pid)


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
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def end_all() -> None:
    """Kill all running workers. Needed on an interrupt, which reaches the main thread only."""
    with STARTING:
        for pid in tuple(RUNNING):
            end_group(pid)


def count_out_of_memory_kills() -> int:
    """Return how many processes the kernel killed since boot because memory ran out; 0 if it does not count them."""
    counters = Path("/proc/vmstat")
    lines = counters.read_text().splitlines() if counters.exists() else []
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
