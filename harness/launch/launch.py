"""One job in a process of its own: written to its folder, started, waited for, and given exactly one state."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic

from crossframe.backends import Plugin
from crossframe.harness.files import make_empty_folder, write_atomically
from crossframe.harness.launch.env_vars import worker_env_vars
from crossframe.harness.launch.guard import ensure_guard
from crossframe.harness.launch.job_processes import JobProcesses
from crossframe.harness.launch.job_sampler import JobSampler
from crossframe.harness.launch.leavings import read_log, read_measures
from crossframe.harness.launch.log import Log
from crossframe.harness.launch.processes import count_out_of_memory_kills, run_process, wait_for_exit
from crossframe.harness.records.model import ProcessSamples
from crossframe.harness.worker.jobs import M, WorkerJob
from crossframe.harness.worker.measurements import PeakMeasurements, ResourceMeasurements
from crossframe.harness.worker.states import State

LOG_TAIL = 300  # characters of the log that a reason quotes


@dataclass(frozen=True)
class Outcome(Generic[M]):
    """How a job ended. `measurements` is empty where the worker left none, or none that are valid."""

    state: State
    reason: str | None
    wall_s: float
    measurements: M
    processes: ProcessSamples | None = None  # what this process saw of the job; None if it did not start


def launch(python: Path, plugin: Plugin, job: WorkerJob[M], folder: Path, timeout_s: float) -> Outcome[M]:
    """Run `job` in `folder` with the interpreter `python`; the output of the worker goes to `log.txt`.

    What the folder held before is deleted. A failure of the worker is returned as an outcome, never raised.
    KeyboardInterrupt alone passes through, after the process group of the worker was killed. Whatever the worker
    started is killed as well, also if this process is killed itself.
    """
    ensure_guard()
    make_empty_folder(folder)
    write_atomically(folder / "job.json", json.dumps(job.to_json(), indent=1))
    command = [str(python), "-m", *job.PROGRAM, str(folder)]
    kills_before = count_out_of_memory_kills()
    begin = time.monotonic()
    # A child of the worker may still be writing here; ignore errors while deleting.
    temporary = tempfile.TemporaryDirectory(prefix="crossframe-", ignore_cleanup_errors=True)
    with temporary as scratch, JobProcesses() as processes:
        env_vars = worker_env_vars(plugin, len(job.cpus), scratch) | processes.env_vars
        with Log(folder / "log.txt", f"PYTHONPATH={env_vars['PYTHONPATH']} {' '.join(command)}") as log:
            sampler = JobSampler(processes)
            try:
                exit_code = run_worker(command, env_vars, folder, log, job.cpus, sampler, timeout_s)
            except OSError as error:
                reason = f"{python} can't be started: {error.strerror}"
                return Outcome(State.NOT_INSTALLED, reason, 0.0, job.MEASUREMENTS())
    wall_s = time.monotonic() - begin
    stored: tuple[State, str | None, M] | None = read_measures(folder, job.MEASUREMENTS)
    if stored is not None:  # the measurements are complete, even if the process hung afterwards
        return Outcome(stored[0], stored[1], wall_s, *add_samples(stored[2], sampler))
    seen = sampler.summary(None, None)
    if exit_code is None:
        return Outcome(State.TIMEOUT, f"not done after {timeout_s:g} s", wall_s, job.MEASUREMENTS(), seen)
    state, reason = explain_exit(exit_code, folder, count_out_of_memory_kills() > kills_before)
    return Outcome(state, reason, wall_s, job.MEASUREMENTS(), seen)


def run_worker(  # noqa: PLR0913  # a process and its surroundings
    command: list[str],
    env_vars: dict[str, str],
    folder: Path,
    log: Log,
    cpus: list[int],
    sampler: JobSampler,
    timeout_s: float,
) -> int | None:
    """Run a command in a process group of its own while it is sampled; return its exit code, None on a timeout.

    OSError if it can't be started. Its process group is killed in any case: nothing that the worker started may run
    beside the next job.
    """

    def start() -> subprocess.Popen[bytes]:
        process = start_process(command, env_vars, folder, log.file, cpus)
        sampler.processes.add_worker(process.pid)
        return process

    with run_process(start) as process, sampler:
        in_time = wait_for_exit(process, timeout_s)
    return process.returncode if in_time else None


def start_process(
    command: list[str], env_vars: dict[str, str], folder: Path, log: int, cpus: list[int]
) -> subprocess.Popen[bytes]:
    """Start a command as a process group of its own, on some processors.

    A process inherits the processors of the thread that starts it. If the worker restricted itself instead, threads
    that its libraries start on import would not be restricted.
    """
    before = os.sched_getaffinity(0)
    with suppress(OSError):  # the worker fails for the same reason, and says so
        os.sched_setaffinity(0, cpus)
    try:
        return subprocess.Popen(
            command,
            env=env_vars,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    finally:
        os.sched_setaffinity(0, before)


def add_samples(measurements: M, sampler: JobSampler) -> tuple[M, ProcessSamples]:
    """Return measurements with what the parent saw of all processes added, and what it saw.

    The peak of the memory is the larger of both; the processors of the receipt are those of all threads.
    """
    if not isinstance(measurements, PeakMeasurements):
        return measurements, sampler.summary(None, None)
    claimed = measurements.host_peak_bytes
    seen = sampler.summary(measurements.host_peak_at_s, claimed)
    peak = max((peak for peak in (claimed, seen.total_peak_bytes) if peak is not None), default=None)
    measurements.host_peak_bytes = peak
    if isinstance(measurements, ResourceMeasurements) and measurements.receipt is not None:
        cpus = sorted({*measurements.receipt.cpus, *seen.cpus})
        measurements.receipt = replace(measurements.receipt, cpus=cpus)
    return measurements, seen


def explain_exit(code: int, folder: Path, memory_ran_out: bool) -> tuple[State, str]:
    """Return the state and the reason of a worker that left no measurements."""
    if code == -signal.SIGKILL and memory_ran_out:
        return State.OUT_OF_MEMORY, "killed by the kernel because memory ran out"
    reason = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code} and no measures"
    log = " ".join(read_log(folder).split())
    return State.FAILED, f"{reason}; log: …{log[-LOG_TAIL:]}" if log else reason
