"""The clock of every worker. It stops when the device has finished the timed call."""

from __future__ import annotations

from collections.abc import Callable
from resource import RUSAGE_CHILDREN, getrusage
from time import perf_counter, process_time
from typing import Any

read_clock = perf_counter  # bound before a backend is imported, which might replace `time.perf_counter`

WARM_UPS = 50  # calls until the interpreter has specialized the code of the clock


def warm_up_clock() -> None:
    """Time calls that do nothing: otherwise the first timed call would include microseconds of the clock itself."""
    for _ in range(WARM_UPS):
        time_call(lambda: None, lambda: None)


def read_processor_s() -> float:
    """Return the processor seconds of all threads of this process so far, and of its children that have ended."""
    children = getrusage(RUSAGE_CHILDREN)
    return process_time() + children.ru_utime + children.ru_stime


def time_call(call: Callable[[], Any], sync: Callable[[], object]) -> float:
    """Return the seconds from the start of `call` until the device has finished it, rounded to nanoseconds."""
    begin = read_clock()
    call()
    sync()
    return round(read_clock() - begin, 9)


def time_calls(
    call: Callable[[], Any], sync: Callable[[], None], at_least: int, for_s: float, at_most: int
) -> list[float]:
    """Return the seconds of each of several calls: as many as fit in `for_s`, within the two bounds."""
    samples_s: list[float] = []
    end = read_clock() + for_s
    while len(samples_s) < at_least or (read_clock() < end and len(samples_s) < at_most):
        samples_s.append(time_call(call, sync))
    return samples_s
