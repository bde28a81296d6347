"""A training job: train a task, evaluate and time it, save it, export it.

The worker leaves `outputs.npz`, `checks.npz`, `checkpoint/`, `model.onnx` and, last, `measures.json`. A job that is not
complete trains only as long as timing needs, and leaves no checkpoint and no ONNX file; all else is the same.
"""

from __future__ import annotations

import time
import traceback
from dataclasses import replace
from pathlib import Path

import numpy as np

from crossframe.backends.contract import Model, get_profile_function
from crossframe.harness.worker.archives import read_arrays, select_weights
from crossframe.harness.worker.backend_model import (
    copy_arrays,
    import_backend,
    package_versions,
    prepare_model,
    verify_placement,
)
from crossframe.harness.worker.epochs import predict, prefix_names, sample_steps, train_epochs
from crossframe.harness.worker.export_onnx import export
from crossframe.harness.worker.failures import state_for_error, summarize_error
from crossframe.harness.worker.jobs import TrainJob
from crossframe.harness.worker.lifecycle import write_measures
from crossframe.harness.worker.measurements import OperatorProfile, Prepared, TrainMeasurements
from crossframe.harness.worker.predictions import sample_inference
from crossframe.harness.worker.process import ResourceUsage, memory_peak_bytes, record_peak
from crossframe.harness.worker.profiling import profile_steps
from crossframe.harness.worker.replays import replay
from crossframe.harness.worker.states import State
from crossframe.harness.worker.timing import read_clock
from crossframe.tasks.spec import Arrays

# Pause before training on a GPU, so that its memory is sampled at rest: more than two periods of the GPU sampler.
REST_S = 0.25


def train_job(job: TrainJob, folder: Path, measurements: TrainMeasurements) -> None:
    """Execute a training job; fill `measurements` one by one, so that a failure keeps those taken before."""
    data = read_arrays(job.inputs)
    begin = read_clock()
    backend = import_backend(job)
    measurements.dialect = dict(backend.DIALECT)  # some import their framework for it
    measurements.import_s = read_clock() - begin
    measurements.host_baseline_bytes = memory_peak_bytes()
    measurements.versions = package_versions(job.packages)
    model = prepare(job, data, measurements)
    checks = train_and_account(job, model, data, measurements)
    outputs, trained = predict(model, data["x_test"]), copy_arrays(model)
    write_outputs(folder / "outputs.npz", outputs, trained)
    if job.complete:
        model.save(folder / "checkpoint")
    checks |= sample_inference(model, data["x_test"], measurements)
    checks |= sample_and_replay(job, model, data, folder, measurements)  # these change the weights
    np.savez(folder / "checks.npz", **checks)  # type: ignore[arg-type]  # NumPy's stub takes `checks` for a flag
    if job.complete:
        verify_checkpoint(model, folder / "checkpoint", trained, measurements)
        measurements.export = export(model, folder, job.onnx_opset)
    verify_placement(model, job.task, job.device)  # the checkpoint may have been restored elsewhere
    if job.profile_operators:
        profile_last(job, folder, model, data, measurements)


def prepare(job: TrainJob, data: Arrays, measurements: TrainMeasurements) -> Model:
    """Return the prepared model, on its device; a GPU then rests for `REST_S`."""
    weights = select_weights(data, job.task)
    begin = read_clock()
    model = prepare_model(job, job.task, weights)
    model.sync()
    measurements.placement = verify_placement(model, job.task, job.device)
    measurements.prepare_s = read_clock() - begin
    if job.device != "cpu":
        measurements.prepared = Prepared(time.monotonic(), model.device_reserved_bytes())
        time.sleep(REST_S)
    return model


def train_and_account(job: TrainJob, model: Model, data: Arrays, measurements: TrainMeasurements) -> Arrays:
    """Train all epochs and record the resources used; return the arrays of `train_epochs`."""
    usage = ResourceUsage()
    checks = train_epochs(model, job.task, data, measurements, job.complete)
    measurements.placement = verify_placement(model, job.task, job.device)
    measurements.receipt = usage.receipt(model.settings())
    record_peak(measurements)
    measurements.device_peak_bytes = model.device_peak_bytes()
    measurements.device_reserved_bytes = model.device_reserved_bytes()
    return checks


def write_outputs(path: Path, outputs: np.ndarray, trained: Arrays) -> None:
    """Write the held-out outputs and the trained weights to one archive."""
    arrays = prefix_names("weights", trained)
    np.savez(path, outputs=outputs, **arrays)  # type: ignore[arg-type]  # NumPy's stub takes `arrays` for a flag


def sample_and_replay(
    job: TrainJob, model: Model, data: Arrays, folder: Path, measurements: TrainMeasurements
) -> Arrays:
    """Sample single steps, then repeat trainings for comparison; return the weights after these."""
    sample_steps(model, data, measurements)
    return replay(job, model, data, folder, measurements)


def verify_checkpoint(model: Model, path: Path, trained: Arrays, measurements: TrainMeasurements) -> None:
    """Load the checkpoint that was saved after the training, and compare the weights with those of that time."""
    measurements.checkpoint_bytes = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    model.load(path)
    measurements.checkpoint_exact = are_equal(trained, copy_arrays(model))


def are_equal(first: Arrays, second: Arrays) -> bool:
    """Return whether two sets of arrays have the same names and values."""
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


def profile_last(job: TrainJob, folder: Path, model: Model, data: Arrays, measurements: TrainMeasurements) -> None:
    """Profile some steps, as the last part of the job: profilers slow the process down and change the weights.

    The measurements are written beforehand, since a profiler may end the process.
    """
    ended = OperatorProfile(State.FAILED, "the process ended within the profiler")
    write_measures(folder, replace(measurements, operators=ended))
    rows = data["order"][0][0]
    try:
        batch = model.put(data["x_train"][rows], data["y_train"][rows])
        measurements.operators = profile_steps(get_profile_function(import_backend(job)), model, batch)
    except Exception as error:
        traceback.print_exc()
        measurements.operators = OperatorProfile(state_for_error(error), summarize_error(error))
