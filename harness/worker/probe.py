"""Parity jobs: run all probes of a task, and resume those with a checkpoint. The traces go to `outputs.npz`."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import numpy as np

from crossframe.backends.contract import Model
from crossframe.harness.worker.archives import read_arrays
from crossframe.harness.worker.backend_model import import_backend, package_versions, prepare_model, verify_placement
from crossframe.harness.worker.barrier import measure_unfinished
from crossframe.harness.worker.failures import state_for_error, summarize_error
from crossframe.harness.worker.jobs import BackendJob, ProbeJob, ResumeJob
from crossframe.harness.worker.measurements import ProbeMeasurements, ProbeResult
from crossframe.harness.worker.outside_code import list_outside_files
from crossframe.harness.worker.probes import EPOCH, Probe, name_resumed, name_second_pass, resume, select_start, trace
from crossframe.harness.worker.states import State
from crossframe.tasks.spec import Arrays

CHECKPOINTS = "checkpoints"  # the folder of the checkpoints in that of the job; one for each number of a probe
QUEUED = 3  # batches with which the barrier is tested


def probe_job(job: ProbeJob, folder: Path, measurements: ProbeMeasurements) -> None:
    """Execute a parity job; a probe that fails keeps its reason and does not affect the others."""
    backend = import_backend(job)
    measurements.dialect = dict(backend.DIALECT)
    measurements.modes = list(backend.MODES)
    measurements.versions = package_versions(job.packages)
    arrays = read_arrays(job.inputs)
    traces: Arrays = {}
    for number, probe in enumerate(job.probes):
        try:
            first = trace_probe(job, probe, arrays, folder / CHECKPOINTS / str(number))
            second = trace_probe(job, probe, arrays) if probe.twice else {}
        except Exception as error:
            traceback.print_exc()
            measurements.probes[probe.name] = ProbeResult(state_for_error(error), summarize_error(error))
            continue
        measurements.probes[probe.name] = ProbeResult(State.OK, None)
        if probe.name == EPOCH:
            model = prepare_probe(job, probe, arrays)
            batches = [model.put(arrays[f"{name}/x"], arrays[f"{name}/y"]) for name in probe.batches[:QUEUED]]
            measurements.unfinished = measure_unfinished(model, batches, job.device)
        traces |= prefix_keys(probe.name, first) | prefix_keys(name_second_pass(probe), second)
    measurements.outside_files = list_outside_files()
    write_traces(folder, traces)


def resume_job(job: ResumeJob, folder: Path, measurements: ProbeMeasurements) -> None:
    """Execute a job that continues the probes of a parity job from their checkpoints, in a fresh process."""
    arrays = read_arrays(job.inputs)
    traces: Arrays = {}
    for number, probe in enumerate(job.probes):
        if probe.saved_after is None:
            continue
        name = name_resumed(probe)
        try:
            model = prepare_probe(job, probe, arrays)
            in_calls, singly = resume(probe, model, arrays, Path(job.checkpoints) / str(number))
            verify_placement(model, probe.task, job.device)
        except Exception as error:
            traceback.print_exc()
            measurements.probes[name] = ProbeResult(state_for_error(error), summarize_error(error))
            continue
        measurements.probes[name] = ProbeResult(State.OK, None)
        traces |= prefix_keys(name, in_calls) | prefix_keys(name_resumed(probe, single=True), singly)
    measurements.outside_files = list_outside_files()
    write_traces(folder, traces)


def prefix_keys(name: str, traces: Arrays) -> Arrays:
    """Return the traces of a probe under the keys of the archive: `<name>/<key>`."""
    return {f"{name}/{key}": value for key, value in traces.items()}


def write_traces(folder: Path, traces: Arrays) -> None:
    """Write `outputs.npz`."""
    np.savez(folder / "outputs.npz", **traces)  # type: ignore[arg-type]  # NumPy's stub takes `traces` for a flag


def prepare_probe(job: BackendJob[Any], probe: Probe, arrays: Arrays) -> Model:
    """Return a fresh model of the task of a probe."""
    return prepare_model(job, probe.task, select_start(arrays, probe))


def trace_probe(job: ProbeJob, probe: Probe, arrays: Arrays, checkpoint: Path | None = None) -> Arrays:
    """Return the traces of a probe, once it is verified that they were computed on the device of the job."""
    model = prepare_probe(job, probe, arrays)
    if checkpoint is not None and probe.saved_after is not None:
        checkpoint.parent.mkdir(exist_ok=True)
    traces = trace(probe, model, arrays, checkpoint)
    verify_placement(model, probe.task, job.device)
    return traces
