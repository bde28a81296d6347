"""A parity job: run all probes of a task. The traces go to `outputs.npz`."""

from __future__ import annotations

import time
import traceback
from itertools import pairwise
from pathlib import Path

import numpy as np

from crossframe.backends.contract import Model
from crossframe.harness.worker.archives import read_arrays, select_weights
from crossframe.harness.worker.backend_model import import_backend, package_versions, prepare_model, verify_placement
from crossframe.harness.worker.failures import state_for_error, summarize_error
from crossframe.harness.worker.jobs import ProbeJob
from crossframe.harness.worker.measurements import ProbeMeasurements, ProbeResult
from crossframe.harness.worker.probes import EPOCH, Probe, name_second_pass, trace
from crossframe.harness.worker.states import State
from crossframe.tasks.spec import Arrays

# The barrier is tested with this many updates, repeated for at least so many seconds, in this many counted tries.
QUEUED, QUEUED_S, TRIES = 3, 0.05, 2


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
            measurements.unfinished = measure_unfinished(probe, prepare_probe(job, probe, arrays), arrays)
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


def measure_unfinished(probe: Probe, model: Model, arrays: Arrays) -> float:
    """Return the share of the time of some updates that is left after `sync`: reading the weights still waits for it.

    This is the least of several tries, since noise only adds to it; a missing barrier leaves much in every try.
    """
    batches = [model.put(arrays[f"{name}/x"], arrays[f"{name}/y"]) for name in probe.batches[:QUEUED]]
    for _ in range(2):  # the first compiles
        begin = time.perf_counter()
        model.train(batches)
        model.weights()
        once_s = time.perf_counter() - begin
    # Long enough that the time to read small weights, and its jitter, is negligible beside it.
    batches = batches * max(1, round(QUEUED_S / once_s))
    shares = []
    for _ in range(1 + TRIES):
        model.sync()
        times = [time.perf_counter()]
        model.train(batches)
        model.sync()
        times.append(time.perf_counter())
        for _ in range(2):
            model.weights()
            times.append(time.perf_counter())
        trained_s, read_s, read_again_s = (end - begin for begin, end in pairwise(times))
        shares.append(max(0.0, read_s - read_again_s) / (trained_s + read_s))
    return min(shares[1:])  # the first compiles
