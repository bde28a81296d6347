"""`crossframe plan`: estimate the time and the disk space of a run, from earlier runs if there are any."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from crossframe.backends import Backend
from crossframe.harness.console import TableLayout, format_duration, terminal_table
from crossframe.harness.errors import UsageError
from crossframe.harness.machine import environments
from crossframe.harness.plan import readiness
from crossframe.harness.plan.inputs import is_complete
from crossframe.harness.plan.plan import Plan, names_all, task_for
from crossframe.harness.plan.readiness import RefusedMode, list_refused_modes
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
    cell: Cell


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
    refused_modes: list[RefusedMode]  # modes that the device can't run
    rounds: int
    round_s: float  # of one repeat of every cell
    notes: dict[str, str]  # backend that will run -> note in its manifest about its build
    titles: dict[str, str]  # backend -> framework


@dataclass(frozen=True)
class Timings:
    """Wall seconds of the successful jobs of earlier runs."""

    samples: Mapping[tuple[str, Cell, bool], list[float]]  # (preset, cell, whether it trains to the end) -> seconds

    def expect(self, preset: str, cell: Cell, complete: bool) -> tuple[float, bool]:
        """Return the expected seconds of a job, and whether earlier runs timed its cell.

        Without a timing of the cell, its other jobs stand in, then other cells of its backend and task, then
        those of its task: tasks differ more than frameworks.
        """
        same_cell = self.samples.get((preset, cell, complete)) or self.samples.get((preset, cell, not complete))
        if same_cell:
            return median(same_cell), True
        for keys in (("task", "backend", "device"), ("task", "device")):
            similar = [
                seconds
                for (earlier_preset, earlier, _), samples in self.samples.items()
                if earlier_preset == preset and all(getattr(earlier, key) == getattr(cell, key) for key in keys)
                for seconds in samples
            ]
            if similar:
                return median(similar), False
        return UNKNOWN_JOB_S, False


def read_timings(results: Path) -> Timings:
    """Return the timings of the runs in the folder `results`."""
    samples: dict[tuple[str, Cell, bool], list[float]] = {}
    for run in sorted(results.glob("*/run.json")):
        try:
            preset = store.read_run(run.parent).options.preset
            records, _ = store.read(run.parent)
        except UsageError:  # damaged, or of another version
            continue
        for record in records:
            if record.state is State.OK:
                samples.setdefault((preset, record.cell, record.complete), []).append(record.wall_s)
    return Timings(samples)


def estimate_jobs(plan: Plan, timings: Timings) -> tuple[list[JobEstimate], float]:
    """Return the estimate of every job, and the share of jobs with an earlier timing."""
    jobs, timed = [], 0
    for job in plan.jobs:
        seconds, is_timed = timings.expect(plan.options.preset, job.cell, is_complete(plan, job))
        timed += is_timed
        jobs.append(JobEstimate(job.name, seconds, job.cell))
    return jobs, timed / len(jobs) if jobs else 1.0


def estimate_round_s(plan: Plan, timings: Timings) -> float:
    """Return the expected seconds of one more repeat of every cell."""
    cells = dict.fromkeys(job.cell for job in plan.jobs)
    return sum(timings.expect(plan.options.preset, cell, False)[0] for cell in cells)


def check_budget(plan: Plan, results: Path) -> list[str]:
    """Return what a round costs if the time budget is below it; an empty list if it is not."""
    budget_s = plan.options.time_budget_s
    round_s = estimate_round_s(plan, read_timings(results)) if budget_s else 0.0
    if not budget_s or budget_s >= round_s:
        return []
    return [
        f"the time budget of {format_duration(budget_s)} is below one round of all cells, which takes about "
        f"{format_duration(round_s)}: it may add repeats of a few cells only"
    ]


def describe_omissions(plan: Plan) -> list[str]:
    """Return the modes that `--mode all` leaves out, because the device can't run them: one line each."""
    if not names_all(plan.options.mode):
        return []
    refused = [mode.describe(plan.titles) for mode in list_refused_modes(plan)]
    return [f"left out of --mode all on {plan.device}: {line}" for line in refused]


def estimate(plan: Plan, results: Path) -> Estimate:
    """Estimate the time and the disk space of a plan from the runs in the folder `results`."""
    timings = read_timings(results)
    jobs, timed_share = estimate_jobs(plan, timings)
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
        refused_modes=list_refused_modes(plan),
        rounds=plan.repeats,
        round_s=estimate_round_s(plan, timings),
        notes={name: note for name, note in notes.items() if note},
        titles=plan.titles,
    )


def _needs_environment(plan: Plan, backend: Backend, unsupported: Mapping[str, str]) -> bool:
    if backend.name in plan.options.python or backend.name in unsupported:
        return False
    return backend.requirements(plan.device_kind) is not None


def as_table(estimate: Estimate) -> str:
    """Return the estimate as text: what runs by task and framework, then the totals and what will not run."""
    titles, cells = estimate.titles, len({job.cell for job in estimate.jobs})
    rounds = f"{estimate.rounds} round{'s' * (estimate.rounds != 1)} of {cells} cells"
    notes = [
        f"{len(estimate.jobs)} jobs on {estimate.device}, {rounds}: about {format_duration(estimate.seconds)}, without "
        f"making environments and verifying ({estimate.timed_share:.0%} of the jobs were timed in earlier runs)",
        *describe_settings(estimate),
        f"{estimate.disk_bytes / 1e6:,.0f} MB of disk",
        *(f"{titles[name]} is unsupported on {estimate.device}: {why}" for name, why in estimate.unsupported.items()),
        *(f"unsupported on {estimate.device}: {refused.describe(titles)}" for refused in estimate.refused_modes),
        *(f"{titles[name]} on {estimate.device}: {note}" for name, note in estimate.notes.items()),
    ]
    if estimate.environments_to_make:
        names = ", ".join(titles[name] for name in estimate.environments_to_make)
        notes.append(f"environments to be made first: {names}")
    layout = TableLayout(right=(3, 4), wrap=(2,), grouped=True)
    return terminal_table(["task", "framework", "modes", "jobs", "about"], list_rows(estimate), layout, notes)


def list_rows(estimate: Estimate) -> list[list[str]]:
    """Return a row for each task and framework: its modes, the number of jobs, the time."""
    groups: dict[tuple[str, str], list[JobEstimate]] = {}
    for job in sorted(estimate.jobs, key=lambda job: (job.cell.task, job.cell.backend, job.cell.mode)):
        groups.setdefault((job.cell.task, job.cell.backend), []).append(job)
    rows = []
    for (task, backend), jobs in groups.items():
        modes = ", ".join(dict.fromkeys(job.cell.mode for job in jobs))
        rows.append(
            [task, estimate.titles[backend], modes, str(len(jobs)), format_duration(sum(job.seconds for job in jobs))]
        )
    return rows


def describe_settings(estimate: Estimate) -> list[str]:
    """Return the precisions and batch sizes in which each task runs, where there are several."""
    sizes: dict[str, set[int]] = {}
    for job in estimate.jobs:
        sizes.setdefault(job.cell.task, set()).add(job.cell.batch_size)
    most = max(map(sorted, sizes.values()), key=len, default=[])
    several = [
        ("precisions", sorted({job.cell.precision for job in estimate.jobs})),
        ("batch sizes", [str(size) for size in most]),
    ]
    return [f"each in the {name} {', '.join(values)}" for name, values in several if len(values) > 1]
