"""The activity of the machine beside a job, by counters of the kernel before and after the job.

Nothing is polled, since polling would disturb the job. A counter that the system lacks is None.
"""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

from crossframe.harness.records.model import Interference

TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def read_processor_times() -> tuple[float, float] | None:
    """Return (busy seconds of all processors, seconds stolen by other guests of the host) since the system started."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return None
    user, nice, system, _, _, irq, softirq, steal, *_ = map(int, stat.read_text().split("\n", 1)[0].split()[1:])
    return (user + nice + system + irq + softirq) * TICK_S, steal * TICK_S


def sum_counters(path: str, names: tuple[str, ...]) -> int | None:
    """Return the sum of some counters in a file of lines `name value`."""
    file = Path(path)
    if not file.exists():
        return None
    lines = (line.split() for line in file.read_text().splitlines())
    return sum(int(line[1]) for line in lines if line[0] in names)


def count_swapped_pages() -> int | None:
    """Return the pages swapped in or out since the system started."""
    return sum_counters("/proc/vmstat", ("pswpin", "pswpout"))


def count_throttlings() -> int | None:
    """Return how often a processor core was slowed down because of its temperature."""
    counters = list(Path("/sys/devices/system/cpu").glob("cpu*/thermal_throttle/core_throttle_count"))
    return sum(int(counter.read_text()) for counter in counters) if counters else None


def own_processor_s() -> float:
    """Return the processor seconds of this process and of its children that have ended."""
    usages = (resource.getrusage(target) for target in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def subtract(after: int | None, before: int | None) -> int | None:
    """Return the difference of two counters; None where one is missing."""
    return None if after is None or before is None else after - before


class InterferenceMeter:
    """A meter of the activity of the machine beside this program, from its construction until `read`."""

    def __init__(self) -> None:
        self.begin = time.monotonic()
        self.processor_times, self.own_s = read_processor_times(), own_processor_s()
        self.swapped_pages, self.throttlings = count_swapped_pages(), count_throttlings()

    def read(self) -> Interference:
        """Return shares of the time of all processors, and counters, since the construction."""
        available_s = (time.monotonic() - self.begin) * (os.cpu_count() or 1)
        times = read_processor_times()
        others_share = steal_share = None
        if times and self.processor_times:
            busy_s, stolen_s = (after - before for after, before in zip(times, self.processor_times, strict=True))
            others_share = max(0.0, busy_s - (own_processor_s() - self.own_s)) / available_s
            steal_share = stolen_s / available_s
        return Interference(
            other_programs_share=others_share,
            steal_share=steal_share,
            swapped_pages=subtract(count_swapped_pages(), self.swapped_pages),
            throttlings=subtract(count_throttlings(), self.throttlings),
        )
