"""Evaluation of the arrays that a worker left: quality, checks against the reference model, agreement of the ONNX file.

Only the harness evaluates, by the same code for every backend.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from crossframe.harness.parity.dialects import dialect_in
from crossframe.harness.parity.job_references import JobReference
from crossframe.harness.records.model import Evaluation, OnnxAgreement
from crossframe.harness.run.job_checks import JobArrays, check_job
from crossframe.harness.worker import quality
from crossframe.harness.worker.jobs import TrainJob
from crossframe.harness.worker.measurements import ExportResult, TrainMeasurements
from crossframe.harness.worker.states import State
from crossframe.harness.worker.trainings import FIRST_EPOCH
from crossframe.tasks.spec import Arrays

ONNX_BATCHES = (1, 3, 64)  # the exporter's example has another size
ONNX_TIMEOUT_S = 120
# The largest difference, relative to the largest output; measured: at most 5e-6 for a correct file. The file of a
# network that was trained in mixed precision computes in float32, so it agrees with the network only up to that
# precision.
ONNX_TOLERANCE = {"float32": 1e-4, "float64": 1e-4, "tf32": 5e-3, "float16": 5e-3, "bfloat16": 5e-2}


def evaluate(job: TrainJob, folder: Path, measurements: TrainMeasurements, checker: OnnxChecker) -> Evaluation:
    """Return the evaluation of the arrays in the folder of a job.

    OSError, ValueError or KeyError if they are damaged.
    """
    stored, checks = (read_arrays(folder / name) for name in ("outputs.npz", "checks.npz"))
    outputs = stored["outputs"]
    if measurements.export is None:
        raise ValueError("the worker left no result of its ONNX export")
    dialect = dialect_in(measurements.dialect, job.precision)
    reference = JobReference(job.task, Path(job.inputs), dialect, job.precision)
    onnx = OnnxAgreement(**vars(measurements.export), max_error=None)
    if onnx.state == State.OK:
        tolerance = ONNX_TOLERANCE[job.precision]
        onnx = checker.check(measurements.export, folder / "model.onnx", reference.data["x_test"], outputs, tolerance)
    trained = {name: stored[f"weights/{name}"] for name in job.task.parameters()}
    results = check_job(measurements, JobArrays(outputs, trained, checks), reference, job.device)
    if all(check.passed for check in results):
        (folder / "checks.npz").unlink()  # many megabytes for each job
    return Evaluation(
        quality=quality.compute_quality(job.task.loss, outputs, reference.data["y_test"]),
        first_epoch_gap=first_epoch_gap(checks, reference),
        onnx=onnx,
        checks=results,
    )


def first_epoch_gap(arrays: Mapping[str, np.ndarray], reference: JobReference) -> float:
    """Return the largest difference of a weight from that of the reference model after the first epoch."""
    expected, updates = reference.expect_weights(FIRST_EPOCH), len(reference.data["order"][0])
    return max(
        float(np.abs(arrays[f"after_first_epoch/{name}"] - expected[f"weights/{updates}/{name}"]).max())
        for name in reference.start
    )


def read_arrays(path: Path) -> Arrays:
    """Return the arrays of an archive."""
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def run_onnx(path: str, x: np.ndarray) -> list[np.ndarray]:
    """Check a file with onnx.checker and run it by onnxruntime on the CPU; return the outputs for each of ONNX_BATCHES.

    A faulty file may crash onnxruntime, so this runs in a process of its own.
    """
    import onnx
    import onnxruntime

    onnx.checker.check_model(path, full_check=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    entry = session.get_inputs()[0]
    x = x.astype(np.float64 if "double" in entry.type else np.float32)
    return [session.run(None, {entry.name: x[:batch]})[0] for batch in ONNX_BATCHES]


class OnnxChecker:
    """A process that runs exported files, started again if a file crashes it."""

    def __init__(self) -> None:
        self.pool: ProcessPoolExecutor | None = None

    def close(self) -> None:
        """End the process."""
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)
            self.pool = None

    def check(
        self, export: ExportResult, path: Path, x: np.ndarray, outputs: np.ndarray, tolerance: float
    ) -> OnnxAgreement:
        """Compare onnxruntime's outputs for x with those of the framework, both (samples, ...).

        `ok` if the file is valid, runs at any batch size, and its largest error relative to the largest output is at
        most `tolerance`.
        """
        state, reason, max_error = self.compare_outputs(path, x, outputs, tolerance)
        return OnnxAgreement(state, reason, export.export_s, export.onnx_bytes, max_error)

    def compare_outputs(
        self, path: Path, x: np.ndarray, outputs: np.ndarray, tolerance: float
    ) -> tuple[State, str | None, float | None]:
        """Return (state, reason, largest error); see `check`."""
        self.pool = self.pool or ProcessPoolExecutor(1, mp_context=get_context("spawn"))
        try:
            answers = self.pool.submit(run_onnx, str(path), x[: max(ONNX_BATCHES)]).result(timeout=ONNX_TIMEOUT_S)
        except BrokenProcessPool:
            self.close()
            return State.FAILED, "onnxruntime crashed on the file", None
        except Exception as error:
            self.close()
            return State.FAILED, " ".join(str(error).split())[:300], None
        max_error = max(float(np.abs(answer - outputs[: len(answer)]).max()) for answer in answers)
        if max_error > tolerance * max(float(np.abs(outputs).max()), 1.0):
            reason = f"the outputs of onnxruntime differ from those of the framework by up to {max_error:.2g}"
            return State.FAILED, reason, max_error
        return State.OK, None, max_error
