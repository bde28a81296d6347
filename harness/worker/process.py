"""What a process was really given and used, read back from the kernel: processors, threads, memory, energy.

Runs inside the oldest environment too: the standard library and nothing else.
"""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Any

BUSY = 0.05  # share of the busiest thread's time from which on a thread counts as one that worked
LIBRARIES = ("LD_LIBRARY_PATH", "LD_PRELOAD")  # whose folders come before those of an environment
POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
RAPL = Path("/sys/class/powercap")


def memory_peak_bytes() -> int | None:
    """The largest resident size of this process so far.

    VmHWM starts afresh with the process's own image; ru_maxrss would carry over what the parent once had.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
    return int(found[1]) * 1024 if found else None


def thread_ticks() -> dict[str, int]:
    """Thread of this process -> clock ticks of processor time that it has had."""
    found = {}
    for stat in Path("/proc/self/task").glob("*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        found[stat.parent.name] = int(fields[11]) + int(fields[12])
    return found


def energy_j() -> float | None:
    """Joules that the processor packages have used since some moment, by RAPL; None where the kernel does not tell."""
    counters = [zone / "energy_uj" for zone in RAPL.glob("intel-rapl:?")]
    try:
        return sum(int(counter.read_text()) for counter in counters) / 1e6 if counters else None
    except OSError:  # root alone may read them
        return None


class Usage:
    """What this process uses from here on, until `told`."""

    def __init__(self) -> None:
        self.ticks = thread_ticks()
        self.energy_j = energy_j()
        self.began_s = time.monotonic()  # a clock that the parent shares
        self.cpu_s, self.wall_s = time.process_time(), time.perf_counter()

    def told(self) -> dict[str, Any]:
        """{began_s, ended_s, cpu_s, wall_s, cpu_per_wall, busy_threads, energy_j}."""
        cpu_s, wall_s = time.process_time() - self.cpu_s, time.perf_counter() - self.wall_s
        grown = [ticks - self.ticks.get(thread, 0) for thread, ticks in thread_ticks().items()]
        used_j = energy_j()
        return {
            "began_s": self.began_s,
            "ended_s": time.monotonic(),
            "cpu_s": cpu_s,
            "wall_s": wall_s,
            "cpu_per_wall": cpu_s / wall_s,
            "busy_threads": sum(ticks > BUSY * max(grown) for ticks in grown) if any(grown) else None,
            # A counter that has wrapped round says nothing.
            "energy_j": None if used_j is None or self.energy_j is None else max(0.0, used_j - self.energy_j) or None,
        }


def given() -> dict[str, Any]:
    """Which process this is, its processors, the sizes of its thread pools as it was told, libraries from elsewhere."""
    started = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]  # numbers of processes come again
    return {
        "process": f"{os.getpid()}-{started}",
        "cpus": sorted(os.sched_getaffinity(0)),
        "pools": {name: os.environ.get(name) for name in POOLS},
        "libraries": {name: os.environ[name] for name in LIBRARIES if name in os.environ},
    }
