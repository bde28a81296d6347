"""A parity job: run all probes of a task. The traces go to `outputs.npz`."""

from __future__ import annotations

import traceback
from pathlib import Path

import numpy as np

from crossframe.backends.contract import Model
from crossframe.harness.worker.archives import read_arrays, select_weights
from crossframe.harness.worker.backend_model import import_backend, package_versions, prepare_model, verify_placement
from crossframe.harness.worker.barrier import measure_unfinished
from crossframe.harness.worker.failures import state_for_error, summarize_error
from crossframe.harness.worker.jobs import ProbeJob
from crossframe.harness.worker.measurements import ProbeMeasurements, ProbeResult
from crossframe.harness.worker.probes import EPOCH, Probe, name_second_pass, trace
from crossframe.harness.worker.states import State
from crossframe.tasks.spec import Arrays

QUEUED = 3  # batches with which the barrier is tested


def probe_job(job: ProbeJob, folder: Path, measurements: ProbeMeasurements) -> None:
    """Execute a parity job; a probe that fails keeps its reason and does not affect the others."""
    backend = import_backend(job)
    measurements.dialect = dict(backend.DIALECT)
    measurements.modes = list(backend.MODES)
    measurements.versions = package_versions(job.packages)
    arrays = read_arrays(job.inputs)
    traces: Arrays = {}
    for probe in job.probes:
        try:
            first = trace_probe(job, probe, arrays)
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
        traces |= {f"{probe.name}/{key}": value for key, value in first.items()}
        traces |= {f"{name_second_pass(probe)}/{key}": value for key, value in second.items()}
    np.savez(folder / "outputs.npz", **traces)  # type: ignore[arg-type]  # NumPy's stub takes `traces` for a flag


def prepare_probe(job: ProbeJob, probe: Probe, arrays: Arrays) -> Model:
    """Return a fresh model of the task of a probe."""
    return prepare_model(job, probe.task, select_weights(arrays, probe.task))


def trace_probe(job: ProbeJob, probe: Probe, arrays: Arrays) -> Arrays:
    """Return the traces of a probe, once it is verified that they were computed on the device of the job."""
    model = prepare_probe(job, probe, arrays)
    traces = trace(probe, model, arrays)
    verify_placement(model, probe.task, job.device)
    return traces
