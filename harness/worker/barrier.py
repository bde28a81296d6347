"""The check that `sync` waits for the device: how much of some updates is left to do when it returns.

Three signs are looked for, since each can be hidden or imitated by noise. Reading the weights waits for what is left;
the processors work on it while it waits; or they work on it afterwards, where reading does not wait. On a busy machine
the first sign shows by chance whenever another program takes the processor, the others do not, because processor time
is not affected. So few tries with the second or third sign are enough, while the first alone must show in most.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from crossframe.backends.contract import Batch, Model
from crossframe.harness.worker.timing import read_clock, read_processor_s

# Of the time of the updates. Measured with a barrier in 219 checks on a machine without idle time: at most 0.16
# (`python -m tests.benchmarks.barrier --programs 2`).
BARRIER = 0.25
QUEUED_S = 0.05  # least time of the updates: the time to read small weights, and its jitter, is negligible beside it
FEW_TRIES, MANY_TRIES = 8, 24  # if any of the few shows a sign, all are made
FEW, MOST = 0.25, 0.75  # of the tries
MOST_SLOWED = 10  # how many times longer an update may take on a busy machine
IDLE_SHARE, LEAST_IDLE_S = 1.0, 0.005  # how long to watch the processors: a share of the time of the updates, at least


class Clocks(NamedTuple):
    """Seconds since arbitrary times in the past."""

    wall_s: float
    processor_s: float  # of all threads of this process
    delay_s: float  # for which this thread waited for a processor


class Leftover(NamedTuple):
    """What was left after one `sync`, as shares of the time of the updates."""

    waited: float  # for which reading the weights waited, without waiting for a processor
    worked: float  # processor time while reading waited
    busy: float  # processor time until a while after reading


def read_clocks() -> Clocks:
    """Return the times of now; the delay is 0 where the kernel does not report it."""
    try:
        delay_s = int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
    except OSError:
        delay_s = 0.0
    return Clocks(read_clock(), read_processor_s(), delay_s)


def measure_unfinished(model: Model, batches: Sequence[Batch], device: str) -> float:
    """Return the share of the work of some updates that is left after `sync`; it is compared with `BARRIER`."""
    queue = fill_queue(model, batches)
    measure_leftover(model, queue)  # compiles
    leftovers = [measure_leftover(model, queue) for _ in range(FEW_TRIES)]
    if any(sign > BARRIER for leftover in leftovers for sign in leftover):
        leftovers += [measure_leftover(model, queue) for _ in range(MANY_TRIES - FEW_TRIES)]
    return combine(leftovers, device)


def fill_queue(model: Model, batches: Sequence[Batch]) -> list[Batch]:
    """Return the batches, repeated or cut so that training on them takes about `QUEUED_S`, or on one of them longer."""
    spans = []
    for _ in range(4):
        begin = read_clocks()
        model.train(batches)
        model.weights()
        end = read_clocks()
        # The elapsed time of a busy machine would be too long, the processor time of a GPU's host too short.
        spans.append(max(end.processor_s - begin.processor_s, (end.wall_s - begin.wall_s) / MOST_SLOWED))
    updates = max(1, round(len(batches) * QUEUED_S / min(spans[1:])))  # the first compiles
    return (list(batches) * (updates // len(batches) + 1))[:updates]


def measure_leftover(model: Model, batches: Sequence[Batch]) -> Leftover:
    """Return what is left of the updates after `sync`."""
    for _ in range(random.randrange(1, 3)):  # a backend may wait in every second call alone
        model.sync()
    clocks = [read_clocks()]
    model.train(batches)
    model.sync()
    clocks.append(read_clocks())
    for _ in range(2):
        model.weights()
        clocks.append(read_clocks())
    begin, trained, read, read_again = clocks
    time.sleep(max(LEAST_IDLE_S, IDLE_SHARE * (read.wall_s - begin.wall_s)))
    idle = read_clocks()
    reading_s = read_again.processor_s - read.processor_s  # the second read shows the cost of reading itself
    waited_s = (read.wall_s - trained.wall_s) - (read.delay_s - trained.delay_s) - (read_again.wall_s - read.wall_s)
    worked_s = (read.processor_s - trained.processor_s) - reading_s
    busy_s = (idle.processor_s - trained.processor_s) - 2 * reading_s
    wall_s, processor_s = read.wall_s - begin.wall_s, idle.processor_s - begin.processor_s
    shares = (waited_s / wall_s, worked_s / max(processor_s, 1e-9), busy_s / max(processor_s, 1e-9))
    return Leftover(*(max(0.0, share) for share in shares))


def combine(leftovers: Sequence[Leftover], device: str) -> float:
    """Return the share that is left by the clearest sign.

    The processor time of a host says nothing about the work of a GPU, so there waiting alone counts.
    """
    waited = np.array([leftover.waited for leftover in leftovers])
    if device != "cpu":
        return float(np.quantile(waited, 1 - FEW))
    worked = np.array([min(leftover.waited, leftover.worked) for leftover in leftovers])
    busy = np.array([leftover.busy for leftover in leftovers])
    return float(max(np.quantile(waited, 1 - MOST), np.quantile(worked, 1 - FEW), np.quantile(busy, 1 - FEW)))
