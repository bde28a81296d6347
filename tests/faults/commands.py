"""Commands in this process, with what they print, in a folder and with a cache of their own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

from crossframe.harness.cli.program import main
from crossframe.harness.launch import launch
from crossframe.harness.launch.child import ChildProcess
from crossframe.harness.launch.job_sampler import JobSampler
from crossframe.harness.launch.log import Log
from tests.faults.workers import CONTROLS

EXPECTED_CODES = (0, 1, 2, 3, 4)
NOT_LEFT_BY_WORKER = ("job.json", "log.txt")


@dataclass(frozen=True)
class Ended:
    """How a command ended; `code` is None if it raised an exception, which is its message then."""

    command: str
    code: int | None
    output: str
    messages: str

    def list_problems(self) -> Iterator[str]:
        """Yield what no command may do, whatever it meets."""
        if self.code is None:
            yield f"{self.command}: {self.messages[-300:]}"
        elif self.code not in EXPECTED_CODES:
            yield f"{self.command}: code {self.code}"
        elif self.code in (2, 3) and not self.messages.strip():
            yield f"{self.command}: code {self.code} without a message"
        if CONTROLS.search(self.output + self.messages):
            yield f"{self.command}: control characters in the output"


def call(arguments: Sequence[str]) -> Ended:
    """Run a command in this process."""
    output, messages = StringIO(), StringIO()
    command = " ".join(arguments)
    try:
        with redirect_stdout(output), redirect_stderr(messages):
            code = main(arguments)
    except BaseException as error:
        return Ended(command, None, output.getvalue(), f"{messages.getvalue()}{type(error).__name__}: {error}")
    return Ended(command, code, output.getvalue(), messages.getvalue())


@contextmanager
def work_in(folder: Path) -> Iterator[None]:
    """Have commands run in a folder, with the cache `cache` in it, and without waiting for the disk.

    What a child process does of the harness's work is done in this process, whose calls are watched.
    """
    variables = {"CROSSFRAME_CACHE": str(folder / "cache")}
    here = patch.object(ChildProcess, "call_within", call_here)
    with chdir(folder), patch.dict(os.environ, variables), patch.object(os, "fsync", lambda _: None), here:
        yield


def call_here(
    child: ChildProcess, timeout_s: float, function: Callable[..., Any], *arguments: Any, **named: Any
) -> Any:
    """Do as `ChildProcess.call_within`, in this process."""
    return function(*arguments, **named)


@dataclass
class StubWorkers:
    """Workers that leave what a worker left for the first job of the same name, which alone runs in a process."""

    left: dict[str, dict[str, bytes]] = field(default_factory=dict)

    def run(
        self,
        command: list[str],
        env_vars: dict[str, str],
        folder: Path,
        log: Log,
        cpus: list[int],
        sampler: JobSampler,
        timeout_s: float,
    ) -> int | None:
        """Do as `run_worker` does."""
        if folder.name not in self.left:
            code = run_worker(command, env_vars, folder, log, cpus, sampler, timeout_s)
            paths = (path for path in folder.rglob("*") if path.is_file() and path.name not in NOT_LEFT_BY_WORKER)
            self.left[folder.name] = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
            return code
        for name, content in self.left[folder.name].items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(content)
        return 0


run_worker = launch.run_worker


@contextmanager
def stub_workers(workers: StubWorkers) -> Iterator[None]:
    """Have these workers take the place of processes."""
    with patch.object(launch, "run_worker", workers.run):
        yield
