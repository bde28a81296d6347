"""Samples of the memory and the processors of all processes of a job, taken by a thread of the parent.

A worker knows its own peak alone, and may reset it. The parent sees its children too, and remembers. A process that
lives for less than a period may be missed. Sampling takes at most `LARGEST_SHARE` of one processor, unless the period
would become longer than `LONGEST_PERIOD_S`.
"""

from __future__ import annotations

import os
import time
from typing import NamedTuple

from crossframe.harness.launch.background import BackgroundThread
from crossframe.harness.launch.job_processes import JobProcesses, read_file, read_stat
from crossframe.harness.records.model import ProcessSamples

PERIOD_S = 0.05
LONGEST_PERIOD_S = 0.2  # the memory of a child must be seen in the shortest jobs, those of the self-test
LARGEST_SHARE = 0.004  # of a processor; where samples take long, there are fewer


class Memory(NamedTuple):
    """The memory of one process in bytes; all but the peak are the present one, part by part."""

    peak: int
    anonymous: int
    file: int
    shared: int  # shared memory without a file


class JobSampler(BackgroundThread):
    """A context in which the processes of a job are sampled; afterwards `summary` has what was seen."""

    def __init__(self, processes: JobProcesses) -> None:
        super().__init__()
        self.processes = processes
        self.totals: list[tuple[float, int]] = []  # (time, peak until then), of the monotonic clock, rising
        self.worker_peaks: list[tuple[float, int]] = []
        self.cpus: set[int] = set()
        self.most_processes = self.samples = 0
        self.first_anonymous: dict[int, int] = {}  # of forked processes, when they were first seen
        self.divided_s = 0.0  # processor time of reading how forked processes share their pages
        self.began_s = time.monotonic()
        self.cost_s = 0.0

    def run(self) -> None:
        """Take samples until the context ends."""
        wait_s = 0.0
        while not self.done.wait(wait_s):
            self.take_sample()
            self.cost_s = time.thread_time()
            due_s = self.cost_s / LARGEST_SHARE - (time.monotonic() - self.began_s)
            wait_s = min(max(PERIOD_S, due_s), LONGEST_PERIOD_S)

    def take_sample(self) -> None:
        """Read the memory and the processors of every process of the job."""
        at_s = time.monotonic()
        memories = {pid: memory for pid in self.processes.update() if (memory := read_memory(pid))}
        self.samples += 1
        self.most_processes = max(self.most_processes, len(memories))
        for pid in memories:
            self.cpus |= read_processors(pid)
        if self.processes.worker in memories:
            self._raise(self.worker_peaks, at_s, memories[self.processes.worker].peak)
        self._raise(self.totals, at_s, self.add_up(memories))

    def add_up(self, memories: dict[int, Memory]) -> int:
        """Return the bytes that all processes hold, or the peak of a single one where that is more.

        What they share is counted once: shared memory, files of processes of one program, and inherited pages.
        """
        largest = max((memory.peak for memory in memories.values()), default=0)
        if len(memories) < 2:
            return largest
        files: dict[str, int] = {}
        families: dict[int, list[int]] = {}
        for pid in tuple(memories):
            before, memory, after = read_stat(pid), read_memory(pid), read_stat(pid)
            if before is None or memory is None or after is None or before.stack != after.stack:
                del memories[pid]  # it has ended, or is about to start another program and still shows our memory
                continue
            memories[pid] = memory
            program = read_program(pid)
            files[program] = max(files.get(program, 0), memory.file)
            families.setdefault(after.stack, []).append(pid)
        anonymous = sum(self.add_up_family(pids, memories) for pids in families.values())
        shared = max((memory.shared for memory in memories.values()), default=0)
        return max(largest, anonymous + shared + sum(files.values()))

    def add_up_family(self, pids: list[int], memories: dict[int, Memory]) -> int:
        """Return the anonymous bytes of processes that were forked from each other.

        To divide shared pages the kernel looks at every page, so this is done where there is time for it. Otherwise the
        first process counts in full, and the others with what they allocated after they were first seen.
        """
        first, *forked = sorted(pids)
        new = not self.first_anonymous.keys() >= set(forked)  # one may still use the memory of its parent as its own
        total = memories[first].anonymous
        for pid in forked:
            inherited = self.first_anonymous.setdefault(pid, memories[pid].anonymous)
            total += max(0, memories[pid].anonymous - inherited)
        if not forked or new or self.divided_s > LARGEST_SHARE / 2 * (time.monotonic() - self.began_s):
            return total
        begin_s = time.thread_time()
        divided = sum(find_bytes(read_file(f"/proc/{pid}/smaps_rollup"), b"Pss_Anon:") for pid in pids)
        self.divided_s += time.thread_time() - begin_s
        return max(total, divided)

    @staticmethod
    def _raise(peaks: list[tuple[float, int]], at_s: float, peak: int) -> None:
        if not peaks or peak > peaks[-1][1]:
            peaks.append((at_s, peak))

    def summary(self, until_s: float | None, claimed_bytes: int | None) -> ProcessSamples:
        """Return what was seen until a time of the monotonic clock, beside the peak that the worker claims."""
        return ProcessSamples(
            processes=self.most_processes,
            claimed_peak_bytes=claimed_bytes,
            worker_peak_bytes=peak_until(self.worker_peaks, until_s),
            total_peak_bytes=peak_until(self.totals, until_s),
            cpus=sorted(self.cpus),
            samples=self.samples,
            cost_s=self.cost_s,
        )


def peak_until(peaks: list[tuple[float, int]], until_s: float | None) -> int | None:
    """Return the last of some rising peaks that was seen until a time; None where nothing was."""
    return max((peak for at_s, peak in peaks if peak and (until_s is None or at_s <= until_s)), default=None)


def find_bytes(text: bytes, name: bytes) -> int:
    """Return the value of a line `name: value kB` in bytes; 0 without such a line."""
    start = text.find(b"\n" + name)
    return 1024 * int(text[start + 1 + len(name) : text.index(b" kB", start)]) if start >= 0 else 0


def read_memory(pid: int) -> Memory | None:
    """Return the memory of a process; None if it has ended."""
    status = read_file(f"/proc/{pid}/status")
    if b"\nVmHWM:" not in status:
        return None
    return Memory(*(find_bytes(status, name) for name in (b"VmHWM:", b"RssAnon:", b"RssFile:", b"RssShmem:")))


def read_program(pid: int) -> str:
    """Return the file of the program that a process runs; "" where that may not be read."""
    try:
        return os.readlink(f"/proc/{pid}/exe")  # noqa: PTH115  # in a hot loop
    except OSError:
        return ""


def read_processors(pid: int) -> set[int]:
    """Return the processors on which any thread of a process may run."""
    cpus: set[int] = set()
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208  # thrice as fast
            cpus |= os.sched_getaffinity(int(thread))
    except OSError:  # a thread has ended in the meantime
        pass
    return cpus
