"""Evaluation of the arrays that a worker left: quality, checks against the reference model, agreement of the ONNX file.

Only the harness evaluates, by the same code for every backend.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from crossframe.harness.files import MEGABYTE, remove_file
from crossframe.harness.launch.child import ChildProcess
from crossframe.harness.launch.leavings import read_arrays, require_shape
from crossframe.harness.parity.dialects import dialect_in
from crossframe.harness.parity.job_references import JobReference
from crossframe.harness.records.model import Evaluation, OnnxAgreement
from crossframe.harness.run.job_checks import JobArrays, check_job
from crossframe.harness.run.onnx_checker import ONNX_BATCHES, OnnxChecker
from crossframe.harness.worker import quality
from crossframe.harness.worker.jobs import TrainJob
from crossframe.harness.worker.measurements import TrainMeasurements
from crossframe.harness.worker.states import State
from crossframe.harness.worker.trainings import FIRST_EPOCH
from crossframe.tasks.spec import Arrays, Task

# The largest difference, relative to the largest output; measured: at most 5e-6 for a correct file. The file of a
# network that was trained in mixed precision computes in float32, so it agrees with the network only up to that
# precision.
ONNX_TOLERANCE = {"float32": 1e-4, "float64": 1e-4, "tf32": 5e-3, "float16": 5e-3, "bfloat16": 5e-2}

EXTRA_BYTES = 64 * MEGABYTE  # of an archive, beyond what the task needs


@dataclass(frozen=True)
class OnnxVectors:
    """Some held-out samples and the outputs of the framework for them, which its exported file must give too."""

    x: np.ndarray  # (samples, ...)
    outputs: np.ndarray  # (samples, ...)


def evaluate(
    job: TrainJob, folder: Path, measurements: TrainMeasurements, checker: OnnxChecker, child: ChildProcess
) -> Evaluation:
    """Return the evaluation of the arrays in the folder of a job, which only `child` opens.

    Any error means that they are damaged: they come from the code of someone else.
    """
    evaluation, vectors = child.call(evaluate_arrays, job, folder, measurements)
    if not job.complete:
        return evaluation
    return replace(evaluation, onnx=check_export(job, folder, measurements, vectors, checker))


def evaluate_arrays(job: TrainJob, folder: Path, measurements: TrainMeasurements) -> tuple[Evaluation, OnnxVectors]:
    """Return the evaluation of a job without its exported file, and what the file is compared with."""
    dialect = dialect_in(measurements.dialect, job.precision)
    reference = JobReference(job.task, Path(job.inputs), dialect, job.precision)
    x, y = reference.data["x_test"], reference.data["y_test"]
    limit = most_bytes(job.task, len(x))
    stored, checks = (read_arrays(folder, name, most_bytes=limit) for name in ("outputs.npz", "checks.npz"))
    outputs, trained = require_arrays(job.task, stored, checks, len(x))
    results = check_job(measurements, JobArrays(outputs, trained, checks), reference, job.device)
    if all(check.passed for check in results):
        with suppress(OSError):  # nothing depends on it
            remove_file(folder / "checks.npz")  # many megabytes for each job
    evaluation = Evaluation(
        quality=quality.compute_quality(job.task.loss, outputs, y) if job.complete else {},
        first_epoch_gap=first_epoch_gap(checks, reference),
        onnx=None,
        checks=results,
    )
    samples = max(ONNX_BATCHES)
    return evaluation, OnnxVectors(x[:samples].copy(), outputs[:samples].copy())


def most_bytes(task: Task, samples: int) -> int:
    """Return the most bytes that an archive of a job may have: eight sets of weights and two of outputs, in float64."""
    weights = sum(math.prod(shape) for shape in task.arrays().values())
    outputs = samples * (math.prod(task.output_shape()) + math.prod(task.input_shape))
    return EXTRA_BYTES + 8 * (8 * weights + 2 * outputs)


def check_export(
    job: TrainJob, folder: Path, measurements: TrainMeasurements, vectors: OnnxVectors, checker: OnnxChecker
) -> OnnxAgreement:
    """Return whether the exported file gives the outputs of the framework. ValueError if nothing was exported."""
    if measurements.export is None or measurements.checkpoint_exact is None:
        raise ValueError("the worker left no result of its checkpoint or its ONNX export")
    if measurements.export.state != State.OK:
        return OnnxAgreement(**vars(measurements.export), max_error=None)
    return checker.check(measurements.export, folder, vectors.x, vectors.outputs, ONNX_TOLERANCE[job.precision])


def require_arrays(task: Task, stored: Arrays, checks: Arrays, samples: int) -> tuple[np.ndarray, Arrays]:
    """Return the outputs, and the trained weights and buffers. ValueError if an array lacks or has the wrong shape."""
    shapes = task.arrays()
    outputs = require_shape(stored, "outputs", (samples, *task.output_shape()))
    trained = {name: require_shape(stored, f"weights/{name}", shape) for name, shape in shapes.items()}
    for key in checks:
        parameter = key.rpartition("/")[2]
        if parameter in shapes:
            require_shape(checks, key, shapes[parameter])
    singles = len(require_shape(checks, "single/x", (None, *task.input_shape)))
    require_shape(checks, "single/outputs", (singles, *task.output_shape()))
    calls, batch = require_shape(checks, "batch/rows", (None, None)).shape
    require_shape(checks, "batch/outputs", (calls, batch, *task.output_shape()))
    if not singles or not calls or not batch:
        raise ValueError("the worker left no outputs of its timed predictions")
    return outputs, trained


def first_epoch_gap(arrays: Mapping[str, np.ndarray], reference: JobReference) -> float:
    """Return the largest difference of a weight from that of the reference model after the first epoch."""
    expected, updates = reference.expect_weights(FIRST_EPOCH), len(reference.data["order"][0])
    return max(
        float(np.abs(arrays[f"after_first_epoch/{name}"] - expected[f"weights/{updates}/{name}"]).max())
        for name in reference.start
    )
