"""What else the machine did while a job ran: the kernel's own counters before and after, and warnings of what matters.

Nothing is polled, which would itself disturb (a GPU's driver is: see `gpu`); a counter that is not there is None.
"""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path
from typing import Any

TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def processor_s() -> tuple[float, float] | None:
    """(seconds of all processors at work, seconds that other guests of this host took), since the machine started."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return None
    user, nice, system, _, _, irq, softirq, steal, *_ = map(int, stat.read_text().split("\n", 1)[0].split()[1:])
    return (user + nice + system + irq + softirq) * TICK_S, steal * TICK_S


def counted(path: str, names: tuple[str, ...]) -> int | None:
    """The sum of some counters of a file of `name value` lines."""
    file = Path(path)
    if not file.exists():
        return None
    lines = (line.split() for line in file.read_text().splitlines())
    return sum(int(line[1]) for line in lines if line[0] in names)


def throttlings() -> int | None:
    """How often processor cores were slowed down for their heat."""
    counters = list(Path("/sys/devices/system/cpu").glob("cpu*/thermal_throttle/core_throttle_count"))
    return sum(int(counter.read_text()) for counter in counters) if counters else None


def own_s() -> float:
    """Processor seconds of this process and of all its children that have ended."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


class Watch:
    """From here to `told`: what the machine did beside us."""

    def __init__(self) -> None:
        self.begin = time.monotonic()
        self.processors, self.own = processor_s(), own_s()
        self.swapped, self.throttled = self.counters()

    def counters(self) -> tuple[int | None, int | None]:
        return counted("/proc/vmstat", ("pswpin", "pswpout")), throttlings()

    def told(self) -> dict[str, Any]:
        """{others_share, steal_share, swapped_pages, throttlings}: shares of all processors' time."""
        available = (time.monotonic() - self.begin) * (os.cpu_count() or 1)
        now, (swapped, throttled) = processor_s(), self.counters()
        others = steal = None
        if now and self.processors:
            busy, stolen = (after - before for after, before in zip(now, self.processors, strict=True))
            others, steal = max(0.0, busy - (own_s() - self.own)) / available, stolen / available
        return {
            "others_share": others,
            "steal_share": steal,
            "swapped_pages": None if swapped is None or self.swapped is None else swapped - self.swapped,
            "throttlings": None if throttled is None or self.throttled is None else throttled - self.throttled,
        }
