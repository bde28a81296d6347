"""Processors, threads, memory and energy of this process, read back from the kernel."""

from __future__ import annotations

import os
import re
import resource
import time
from pathlib import Path

from crossframe.backends.contract import FrameworkSettings
from crossframe.harness.worker.measurements import PeakMeasurements, Receipt
from crossframe.harness.worker.timing import read_clock, read_processor_s

BUSY = 0.05  # a thread counts as busy from this share of the processor time of the busiest thread
LIBRARIES = ("LD_LIBRARY_PATH", "LD_PRELOAD")  # their folders precede those of the environment
THREAD_POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
RAPL = Path("/sys/class/powercap")


def memory_peak_bytes() -> int | None:
    """Return the largest resident size so far of this process, or of a child of it that has ended.

    None where the system has no `/proc`. This is VmHWM, which starts at zero in a new process; the ru_maxrss of this
    process would include the peak of its parent. That of its children includes its own, which changes nothing.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    match = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return max(int(match[1]), children) * 1024 if match else None


def record_peak(measurements: PeakMeasurements) -> None:
    """Store the peak memory until now, with the time, at which the parent ends its own view of the memory."""
    measurements.host_peak_bytes, measurements.host_peak_at_s = memory_peak_bytes(), time.monotonic()


def read_processors() -> list[int]:
    """Return the processors on which any thread of this process may run."""
    cpus: set[int] = set()
    for thread in Path("/proc/self/task").glob("*"):
        try:
            cpus |= os.sched_getaffinity(int(thread.name))
        except ProcessLookupError:  # the thread ended in the meantime
            continue
    return sorted(cpus)


def read_thread_ticks() -> dict[str, int]:
    """Return the processor time of each thread of this process in clock ticks, by the number of the thread."""
    ticks = {}
    for stat in Path("/proc/self/task").glob("*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # the thread ended in the meantime
            continue
        ticks[stat.parent.name] = int(fields[11]) + int(fields[12])
    return ticks


def read_energy_j() -> float | None:
    """Return the energy counter of the processor packages (RAPL); None where the kernel does not give access."""
    counters = [zone / "energy_uj" for zone in RAPL.glob("intel-rapl:?")]
    try:
        return sum(int(counter.read_text()) for counter in counters) / 1e6 if counters else None
    except OSError:  # only root may read them
        return None


class ResourceUsage:
    """A meter of the resources that this process uses from its construction until `receipt`."""

    def __init__(self) -> None:
        self.ticks = read_thread_ticks()
        self.energy_j = read_energy_j()
        self.began_s = time.monotonic()  # the parent uses the same clock
        self.cpu_s, self.wall_s = read_processor_s(), read_clock()

    def receipt(self, settings: FrameworkSettings) -> Receipt:
        """Return the resources of this process, their use since the construction, and the framework's settings."""
        cpu_s, wall_s = read_processor_s() - self.cpu_s, read_clock() - self.wall_s
        used_ticks = [ticks - self.ticks.get(thread, 0) for thread, ticks in read_thread_ticks().items()]
        return Receipt(
            process=process_id(),
            cpus=read_processors(),
            thread_pools={name: os.environ.get(name) for name in THREAD_POOLS},
            settings=settings,
            cpu_per_wall=cpu_s / wall_s,
            busy_threads=sum(used > BUSY * max(used_ticks) for used in used_ticks) if any(used_ticks) else None,
            energy_j=self._used_energy_j(),
            libraries=preloaded_libraries(),
            began_s=self.began_s,
            ended_s=time.monotonic(),
            cpu_s=cpu_s,
            wall_s=wall_s,
        )

    def _used_energy_j(self) -> float | None:
        """Return the energy since the construction; None where it is unknown or the counter has wrapped around."""
        energy_j = read_energy_j()
        if energy_j is None or self.energy_j is None:
            return None
        return max(0.0, energy_j - self.energy_j) or None


def process_id() -> str:
    """Return the number and the start time of this process: numbers alone are reused."""
    started = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    return f"{os.getpid()}-{started}"


def preloaded_libraries() -> dict[str, str]:
    """Return the variables that load libraries from outside of the environment, with their values."""
    return {name: os.environ[name] for name in LIBRARIES if name in os.environ}
