"""The clock of every worker: to the end of what was asked of the device."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def seconds(do: Callable[[], Any], sync: Callable[[], None]) -> float:
    """How long `do` takes, to the end of what it asked of the device, to the clock's nanosecond."""
    begin = time.perf_counter()
    do()
    sync()
    return round(time.perf_counter() - begin, 9)


def samples(do: Callable[[], Any], sync: Callable[[], None], at_least: int, for_s: float, at_most: int) -> list[float]:
    """Seconds of each of several calls, as many as fit in `for_s` between the two bounds."""
    taken: list[float] = []
    end = time.perf_counter() + for_s
    while len(taken) < at_least or (time.perf_counter() < end and len(taken) < at_most):
        taken.append(seconds(do, sync))
    return taken
