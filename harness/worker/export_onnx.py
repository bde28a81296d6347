"""Exports to ONNX: of a trained model, and again of stored weights at several opsets and by several routes."""

from __future__ import annotations

import traceback
from functools import partial
from pathlib import Path

from crossframe.backends.contract import Model, Unsupported
from crossframe.harness.worker.archives import read_arrays, read_feeds, select_weights
from crossframe.harness.worker.backend_model import prepare_model
from crossframe.harness.worker.failures import summarize_error
from crossframe.harness.worker.jobs import ExportOnnxJob
from crossframe.harness.worker.measurements import ExportMeasurements, ExportResult
from crossframe.harness.worker.states import State
from crossframe.harness.worker.timing import read_clock, time_calls


def export_onnx_job(job: ExportOnnxJob, folder: Path, measurements: ExportMeasurements) -> None:
    """Execute an export job: time the framework's own inference, then write the file of each variant."""
    model = prepare_model(job, job.task, select_weights(read_arrays(job.outputs), job.task))
    sets = read_feeds(job.feeds)
    for name in job.timed:
        call = partial(model.predict, sets[name]["x"])
        time_calls(call, model.sync, 2, 0.05, 50)  # compile and warm up
        measurements.infer_samples_s[name] = time_calls(call, model.sync, 3, job.time_s, 500)
    for variant, (opset, route) in job.exports.items():
        path = export_path(folder, variant)
        path.parent.mkdir(exist_ok=True)
        measurements.exports[variant] = export(model, path.parent, opset, route)


def export_path(folder: Path, variant: str) -> Path:
    """Return the path of the file of a variant in the folder of an export job."""
    return folder / variant.replace(" ", "-") / "model.onnx"


def export(model: Model, folder: Path, opset: int, route: str | None = None) -> ExportResult:
    """Write `model.onnx` to a folder; a failure is part of the result, since the training is still valid.

    `route` names one of the exporters of the backend; None stands for the default.
    """
    path = folder / "model.onnx"
    begin = read_clock()
    try:
        model.export_onnx(path, opset, *([route] if route else []))
    except Exception as error:
        traceback.print_exc()
        state = State.UNSUPPORTED if isinstance(error, Unsupported) else State.FAILED
        return ExportResult(state, summarize_error(error))
    size = sum(file.stat().st_size for file in folder.glob("model.onnx*"))  # large weights lie beside the file
    return ExportResult(State.OK, None, read_clock() - begin, size)
