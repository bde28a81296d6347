"""An inference job: time the predictions of an untrained network at several batch sizes, and export it.

The worker leaves `answers.npz` and `model.onnx`. The inputs of every call differ, and some of the timed calls are kept:
`<batch size>/rows` (of `x_test`), `<batch size>/factor`, `<batch size>/outputs`, with an entry for each kept call.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from crossframe.harness.worker.archives import read_arrays, select_weights
from crossframe.harness.worker.backend_model import import_backend, package_versions, prepare_model, verify_placement
from crossframe.harness.worker.epochs import prefix_names
from crossframe.harness.worker.export_onnx import export
from crossframe.harness.worker.jobs import InferJob
from crossframe.harness.worker.measurements import InferMeasurements
from crossframe.harness.worker.predictions import sample_batch_size
from crossframe.harness.worker.process import ResourceUsage, record_peak
from crossframe.harness.worker.timing import read_clock
from crossframe.tasks.spec import Arrays

ANSWERS = "answers.npz"


def infer_job(job: InferJob, folder: Path, measurements: InferMeasurements) -> None:
    """Execute an inference job."""
    begin = read_clock()
    import_backend(job)
    measurements.import_s = read_clock() - begin
    measurements.versions = package_versions(job.packages)
    data = read_arrays(job.inputs)
    model = prepare_model(job, job.task, select_weights(data, job.task))
    verify_placement(model, job.task, job.device)
    usage = ResourceUsage()
    answers: Arrays = {}
    for size in job.batch_sizes:
        measurements.first_s[str(size)], timed = sample_batch_size(model, data["x_test"], size)
        measurements.infer_samples_s[str(size)] = timed.samples_s
        answers |= prefix_names(str(size), timed.stack())
    verify_placement(model, job.task, job.device)  # now of the results too
    measurements.receipt = usage.receipt(model.settings())
    record_peak(measurements)
    np.savez(folder / ANSWERS, **answers)  # type: ignore[arg-type]  # NumPy's stub takes `answers` for a flag
    measurements.export = export(model, folder, job.onnx_opset)
