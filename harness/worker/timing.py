"""The clock of every worker. It stops when the device has finished the timed call."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def time_call(call: Callable[[], Any], sync: Callable[[], None]) -> float:
    """Return the seconds from the start of `call` until the device has finished it, rounded to nanoseconds."""
    begin = time.perf_counter()
    call()
    sync()
    return round(time.perf_counter() - begin, 9)


def time_calls(
    call: Callable[[], Any], sync: Callable[[], None], at_least: int, for_s: float, at_most: int
) -> list[float]:
    """Return the seconds of each of several calls: as many as fit in `for_s`, within the two bounds."""
    samples_s: list[float] = []
    end = time.perf_counter() + for_s
    while len(samples_s) < at_least or (time.perf_counter() < end and len(samples_s) < at_most):
        samples_s.append(time_call(call, sync))
    return samples_s
