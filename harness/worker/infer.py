"""An inference job: time the predictions of an untrained network at several batch sizes, and export it."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import numpy as np

from crossframe.harness.worker.archives import read_arrays, select_weights
from crossframe.harness.worker.backend_model import import_backend, package_versions, prepare_model, verify_placement
from crossframe.harness.worker.export_onnx import export
from crossframe.harness.worker.jobs import InferJob
from crossframe.harness.worker.measurements import InferMeasurements
from crossframe.harness.worker.process import ResourceUsage, record_peak
from crossframe.harness.worker.timing import time_call, time_calls

SAMPLED_S, AT_LEAST, AT_MOST = 0.3, 5, 2000  # for each batch size: seconds, calls, calls


def infer_job(job: InferJob, folder: Path, measurements: InferMeasurements) -> None:
    """Execute an inference job; it leaves `model.onnx`."""
    begin = time.perf_counter()
    import_backend(job)
    measurements.import_s = time.perf_counter() - begin
    measurements.versions = package_versions(job.packages)
    data = read_arrays(job.inputs)
    model = prepare_model(job, job.task, select_weights(data, job.task))
    verify_placement(model, job.task, job.device)
    usage = ResourceUsage()
    for size in job.batch_sizes:
        call = partial(model.predict, np.resize(data["x_test"], (size, *data["x_test"].shape[1:])))
        measurements.first_s[str(size)] = time_call(call, model.sync)
        measurements.infer_samples_s[str(size)] = time_calls(call, model.sync, AT_LEAST, SAMPLED_S, AT_MOST)
    verify_placement(model, job.task, job.device)  # now of the results too
    measurements.receipt = usage.receipt(model.settings())
    record_peak(measurements)
    measurements.export = export(model, folder, job.onnx_opset)
