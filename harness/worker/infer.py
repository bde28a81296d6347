"""Inference and nothing else, in a fresh process of the backend's own environment.

`python -m crossframe.harness.worker.infer JOB` reads `job.json` and the inputs it names; leaves `model.onnx` and, last
and whole, `measures.json`.
"""

from __future__ import annotations

import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from crossframe.harness.worker.export_onnx import export
from crossframe.harness.worker.lifecycle import main, proven_placement, versions
from crossframe.harness.worker.process import Usage, given, memory_peak_bytes
from crossframe.harness.worker.timing import samples, seconds
from crossframe.tasks.spec import from_json

SAMPLED_S, AT_LEAST, AT_MOST = 0.3, 5, 2000


def work(job: dict[str, Any], folder: Path, measures: dict[str, Any]) -> None:
    begin = time.perf_counter()
    backend = import_module(job["module"])
    measures |= {"import_s": time.perf_counter() - begin, "versions": versions(job["packages"])}
    task = from_json(job["task"])
    with np.load(job["inputs"], allow_pickle=False) as stored:
        weights = {name: stored[f"weights/{name}"] for name in task.parameters()}
        x_test = stored["x_test"]
    model = backend.prepare(task, weights, job["device"], job["mode"], job["precision"])
    proven_placement(model, task, job["device"])
    usage = Usage()
    measures["first_s"], measures["infer_samples_s"] = {}, {}
    for size in job["batch_sizes"]:
        x = np.resize(x_test, (size, *x_test.shape[1:]))
        measures["first_s"][str(size)] = seconds(lambda x=x: model.predict(x), model.sync)  # type: ignore[misc]
        taken = samples(lambda x=x: model.predict(x), model.sync, AT_LEAST, SAMPLED_S, AT_MOST)  # type: ignore[misc]
        measures["infer_samples_s"][str(size)] = taken
    proven_placement(model, task, job["device"])  # of the results too
    measures["receipt"] = {**given(), **usage.told(), "settings": model.settings()}
    measures["host_peak_bytes"] = memory_peak_bytes()
    measures["export"] = export(model, folder, job["onnx_opset"])


if __name__ == "__main__":
    main(Path(sys.argv[1]), work)
