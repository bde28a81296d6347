"""`crossframe plan`: estimate the time and the disk space of a run, from earlier runs if there are any."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from crossframe.backends import Backend
from crossframe.harness.errors import UsageError
from crossframe.harness.machine import environments
from crossframe.harness.plan import readiness
from crossframe.harness.plan.plan import Plan, task_for
from crossframe.harness.records import store
from crossframe.harness.records.model import Cell
from crossframe.harness.worker.states import State

# Seconds of a job that no earlier run has timed: the median of a first `standard` run on two cores.
UNKNOWN_JOB_S = 8.0
# Size of an environment that is not made yet: the mean of four by `machine.environments.folder_size` on 2026-11-21.
# Environments for GPUs include the libraries of CUDA.
ENVIRONMENT_BYTES = {"cpu": 1.2e9, "cuda": 4.6e9}
# Weights of the first epoch, a checkpoint with the two moments of the optimizer, the ONNX file: five times the weights.
STORED_COPIES = 5
FLOAT32_BYTES = 4


@dataclass(frozen=True)
class JobEstimate:
    """The expected time of one job."""

    job: str
    seconds: float


@dataclass(frozen=True)
class Estimate:
    """The time and the disk space of a run."""

    device: str
    jobs: list[JobEstimate]
    seconds: float
    timed_share: float  # of the jobs whose cell was timed in earlier runs
    disk_bytes: int
    environments_to_make: list[str]
    unsupported: dict[str, str]  # backend that will not run -> reason
    notes: dict[str, str]  # backend that will run -> note in its manifest about its build


def read_timings(results: Path) -> dict[tuple[Cell, str], list[float]]:
    """Return (cell, preset) -> wall seconds of the successful jobs of earlier runs in the folder `results`."""
    timings: dict[tuple[Cell, str], list[float]] = {}
    for run in sorted(results.glob("*/run.json")):
        try:
            preset = store.read_run(run.parent).options.preset
            records, _ = store.read(run.parent)
        except UsageError:  # damaged, or of another version
            continue
        for record in records:
            if record.state is State.OK:
                timings.setdefault((record.cell, preset), []).append(record.wall_s)
    return timings


def estimate_jobs(plan: Plan, timings: Mapping[tuple[Cell, str], list[float]]) -> tuple[list[JobEstimate], float]:
    """Return the estimate of every job, and the share of jobs with an earlier timing."""
    jobs, timed = [], 0
    for job in plan.jobs:
        seconds = timings.get((job.cell, plan.options.preset))
        timed += seconds is not None
        jobs.append(JobEstimate(job.name, median(seconds) if seconds else UNKNOWN_JOB_S))
    return jobs, timed / len(jobs) if jobs else 1.0


def estimate(plan: Plan, results: Path) -> Estimate:
    """Estimate the time and the disk space of a plan from the runs in the folder `results`."""
    jobs, timed_share = estimate_jobs(plan, read_timings(results))
    kind = plan.device_kind
    unsupported = readiness.refusals(plan)
    backends = [backend for backend in plan.backends.values() if _needs_environment(plan, backend, unsupported)]
    to_make = [
        backend.name
        for backend in backends
        if not environments.read_environment(environments.environment_folder(backend, kind))
    ]
    notes = {backend.name: backend.manifest.install[kind].note for backend in backends}
    parameters = sum(math.prod(shape) for job in plan.jobs for shape in task_for(plan, job.cell).parameters().values())
    return Estimate(
        device=plan.device,
        jobs=jobs,
        seconds=sum(job.seconds for job in jobs),
        timed_share=timed_share,
        disk_bytes=int(STORED_COPIES * FLOAT32_BYTES * parameters + ENVIRONMENT_BYTES[kind] * len(to_make)),
        environments_to_make=to_make,
        unsupported=unsupported,
        notes={name: note for name, note in notes.items() if note},
    )


def _needs_environment(plan: Plan, backend: Backend, unsupported: Mapping[str, str]) -> bool:
    if backend.name in plan.options.python or backend.name in unsupported:
        return False
    return backend.requirements(plan.device_kind) is not None


def as_table(estimate: Estimate) -> str:
    """Return the estimate as text: one line a job, then the totals and what will not run."""
    minutes, seconds = divmod(round(estimate.seconds), 60)
    lines = [
        *(job.job for job in estimate.jobs),
        f"{len(estimate.jobs)} jobs on {estimate.device}: about {minutes} min {seconds:02d} s "
        f"({estimate.timed_share:.0%} of the jobs were timed in earlier runs), "
        f"{estimate.disk_bytes / 1e6:,.0f} MB of disk",
        *(f"{name} is unsupported on {estimate.device}: {why}" for name, why in estimate.unsupported.items()),
        *(f"{name} on {estimate.device}: {note}" for name, note in estimate.notes.items()),
    ]
    if estimate.environments_to_make:
        lines.append(f"environments to be made first: {', '.join(estimate.environments_to_make)}")
    return "\n".join(lines) + "\n"
