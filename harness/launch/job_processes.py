"""The processes of a job: the worker and everything that it started, also what left its process group and session."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time
import uuid
from collections.abc import Collection
from contextlib import suppress
from typing import ClassVar, NamedTuple, Self

from crossframe.harness.launch.guard import report_processes

TOKEN = "CROSSFRAME_JOB"  # the environment variable that every process of a job inherits
SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>
END_S = 2.0  # for which killed processes are awaited
FEW = 64  # new processes and threads, looked at one by one; from here on, a list of all processes is faster


class ProcessStat(NamedTuple):
    """Some fields of `/proc/PID/stat`."""

    ended: bool
    parent: int
    group: int
    session: int
    stack: int  # where its stack starts: a forked process keeps that of its parent, another program draws it anew


class Subreaper:
    """A context in which orphans of the jobs become children of this process, so that none gets out of sight."""

    lock = threading.Lock()
    uses = 0

    def __enter__(self) -> Self:
        """Begin to receive orphans."""
        self._count(1)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, unless another job is still running."""
        self._count(-1)

    def _count(self, change: int) -> None:
        with self.lock:
            Subreaper.uses += change
            ctypes.CDLL(None).prctl(SET_CHILD_SUBREAPER, int(Subreaper.uses > 0), 0, 0, 0)


class JobProcesses:
    """The processes of one job, as a context to enter before the worker starts; when it ends, all are killed.

    A process belongs to the job if its parent does, if it is in the process group or session of the worker, or if it
    has inherited `env_vars`. An orphan that gave up all of these has become a child of this process (`Subreaper`).
    """

    tokens: ClassVar[set[str]] = set()  # of all jobs that are running

    def __init__(self) -> None:
        self.token = uuid.uuid4().hex
        self.env_vars = {TOKEN: self.token}
        self.worker: int | None = None
        self.members: set[int] = set()
        self.last_pid = read_last_pid()
        self.strangers = list_processes()
        self.subreaper = Subreaper()

    def __enter__(self) -> Self:
        """Begin to receive orphans."""
        self.tokens.add(self.token)
        self.subreaper.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        """Kill what is left of the job."""
        try:
            self.kill()
        finally:
            self.tokens.discard(self.token)
            self.subreaper.__exit__()

    def add_worker(self, pid: int) -> None:
        """Add the first process of the job."""
        self.worker = pid
        self.members.add(pid)
        self.strangers.discard(pid)

    def update(self) -> set[int]:
        """Find the processes that were started since the last update; return all that exist."""
        unknown = {pid: stat for pid in self._list_new() if (stat := read_stat(pid)) and is_process(pid)}
        while included := {pid for pid, stat in unknown.items() if self._includes(pid, stat)}:  # then their children
            self.members |= included
            report_processes(included)
            unknown = {pid: stat for pid, stat in unknown.items() if pid not in included}
        self.strangers |= unknown.keys()
        self.members = {pid for pid in self.members if exists(pid)}
        return self.members

    def _list_new(self) -> Collection[int]:
        """Return the ids that were given away since the last update; among them may be those of threads."""
        before, self.last_pid = self.last_pid, read_last_pid()
        if before is not None and self.last_pid is not None and before <= self.last_pid <= before + FEW:
            return range(before + 1, self.last_pid + 1)
        existing = list_processes()
        self.strangers &= existing
        return existing - self.members - self.strangers

    def _includes(self, pid: int, stat: ProcessStat) -> bool:
        if stat.parent in self.members or self.worker in (stat.group, stat.session):
            return True
        token = read_token(pid)
        orphaned = stat.parent == os.getpid() and stat.session != os.getsid(0) and not is_starting(stat)
        # A token of no running job was made up, unless this process is part of a job itself.
        unknown = token is None or token not in {*self.tokens, os.environ.get(TOKEN)}
        return token == self.token or (orphaned and unknown)

    def kill(self) -> None:
        """Kill all processes of the job and wait until they have ended."""
        deadline = time.monotonic() + END_S
        while alive := [pid for pid in self.update() if is_alive(pid)]:
            for pid in alive:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            if time.monotonic() > deadline:
                break
            time.sleep(0.005)
        for pid in self.members - {self.worker}:
            with suppress(ChildProcessError):  # it was an orphan, so it is our child
                os.waitpid(pid, os.WNOHANG)


def read_file(path: str) -> bytes:
    """Return the content of a file of `/proc`; empty if the process has ended, or if it may not be read."""
    content = b""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return content
    try:
        while part := os.read(descriptor, 1 << 16):
            content += part
    except OSError:
        pass
    finally:
        os.close(descriptor)
    return content


def read_last_pid() -> int | None:
    """Return the id that the kernel gave away last: the next one is larger, unless it starts anew. None if unknown."""
    fields = read_file("/proc/loadavg").split()
    return int(fields[4]) if len(fields) == 5 and fields[4].isdigit() else None


def list_processes() -> set[int]:
    """Return the ids of all processes; empty where the system has no `/proc`."""
    try:
        return {int(name) for name in os.listdir("/proc") if name.isdecimal()}  # noqa: PTH208  # thrice as fast
    except FileNotFoundError:
        return set()


def read_stat(pid: int) -> ProcessStat | None:
    """Return what the kernel says about a process; None if it has ended."""
    fields = read_file(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    return ProcessStat(fields[0] in b"ZX", *map(int, (*fields[1:4], fields[25]))) if fields else None


def is_process(pid: int) -> bool:
    """Return whether an id is that of a process, not of a further thread of one."""
    return f"\nTgid:\t{pid}\n".encode() in read_file(f"/proc/{pid}/status")


def is_starting(stat: ProcessStat) -> bool:
    """Return whether a child of this process has not started its program yet, as the worker of a concurrent job.

    Until then its variables are those of this process, without the token of its job.
    """
    this = read_stat(os.getpid())
    return this is not None and stat.parent == os.getpid() and stat.stack == this.stack


def exists(pid: int) -> bool:
    """Return whether there is a process of this id, be it a zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # of another user
        pass
    return True


def is_alive(pid: int) -> bool:
    """Return whether a process exists and is no zombie."""
    stat = read_stat(pid)
    return stat is not None and not stat.ended


def read_token(pid: int) -> str | None:
    """Return the token of the job that a process inherited; None if it has none, or if it may not be read."""
    variables = read_file(f"/proc/{pid}/environ").decode(errors="replace").split("\0")
    return next((entry.removeprefix(f"{TOKEN}=") for entry in variables if entry.startswith(f"{TOKEN}=")), None)
