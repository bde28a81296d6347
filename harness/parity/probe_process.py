"""The processes of a verification: the probes of a cell, and in a fresh one their continuation from checkpoints."""

from __future__ import annotations

import math
import stat
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from crossframe.backends import Plugin
from crossframe.harness.files import move_folder
from crossframe.harness.launch.launch import Outcome, launch
from crossframe.harness.launch.leavings import read_arrays
from crossframe.harness.worker.backend_model import NARROWEST_BYTES
from crossframe.harness.worker.jobs import ProbeJob, ResumeJob
from crossframe.harness.worker.measurements import ProbeMeasurements
from crossframe.harness.worker.probe import CHECKPOINTS
from crossframe.harness.worker.probes import Probe
from crossframe.harness.worker.states import State
from crossframe.tasks.spec import Arrays

RESUMED = "resumed"  # folder of the second process, in that of the first
# The checkpoints lie here for the second process: one that names the place where it was saved can't be loaded.
MOVED = "moved"


def run_probe_job(
    python: Path, plugin: Plugin, job: ProbeJob, folder: Path, timeout_s: float
) -> Outcome[ProbeMeasurements]:
    """Run the probes of a job, and those with a checkpoint on in a fresh process; `read_traces` returns the traces."""
    outcome = launch(python, plugin, job, folder, timeout_s)
    results = outcome.measurements.probes
    saved = [probe for probe in job.probes if probe.saved_after is not None]
    if outcome.state != State.OK or not saved:
        return outcome
    if not all(probe.name in results and results[probe.name].state == State.OK for probe in saved):
        return outcome
    small = describe_small_checkpoint(job.probes, folder / CHECKPOINTS)
    if small is not None:
        return replace(outcome, state=State.FAILED, reason=small)
    checkpoints = move_folder(folder / CHECKPOINTS, folder / MOVED)
    continued = ResumeJob(
        module=job.module,
        packages=job.packages,
        mode=job.mode,
        device=job.device,
        precision=job.precision,
        inputs=job.inputs,
        probes=job.probes,
        checkpoints=str(checkpoints.resolve()),
        cpus=job.cpus,
    )
    resumed = launch(python, plugin, continued, folder / RESUMED, timeout_s)
    if resumed.state != State.OK:
        reason = f"in a process that continues from a checkpoint: {resumed.reason}"
        return replace(outcome, state=resumed.state, reason=reason)
    merged = replace(
        outcome.measurements,
        probes={**results, **resumed.measurements.probes},
        outside_files=[*outcome.measurements.outside_files, *resumed.measurements.outside_files],
    )
    return replace(outcome, measurements=merged)


def describe_small_checkpoint(probes: Sequence[Probe], folder: Path) -> str | None:
    """Return which checkpoint in `folder` is too small to hold the weights, which then lie elsewhere; None if none is.

    Links do not count.
    """
    for number, probe in enumerate(probes):
        if probe.saved_after is None:
            continue
        statuses = [path.lstat() for path in (folder / str(number), *(folder / str(number)).rglob("*"))]
        size = sum(status.st_size for status in statuses if stat.S_ISREG(status.st_mode))
        needed = NARROWEST_BYTES * sum(map(math.prod, probe.task.parameters().values()))
        if size < needed:
            return f"{probe.name}: a checkpoint has {size} bytes; the weights alone need {needed}"
    return None


def read_traces(folder: Path, most_bytes: int) -> Arrays:
    """Return the traces of both processes, each of at most so many bytes: `<probe>/<key>` -> array."""
    traces: Arrays = {}
    for path in (folder / "outputs.npz", folder / RESUMED / "outputs.npz"):
        if path.exists():
            traces |= read_arrays(path.parent, path.name, finite=False, most_bytes=most_bytes)
    return traces
