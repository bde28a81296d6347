"""One job, in a fresh process of the backend's own environment: `python -m crossframe.harness.worker.train JOB`.

Reads `job.json` and the inputs it names; leaves `outputs.npz`, `model.onnx`, `checkpoint/` and, last and whole,
`measures.json`. What it prints goes to `log.txt` and means nothing. Imports NumPy, its backend, and no more.
"""

from __future__ import annotations

import sys
import time
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from crossframe.harness.worker import profiling
from crossframe.harness.worker.epochs import predict, sample_inference, sample_steps, train
from crossframe.harness.worker.export_onnx import export
from crossframe.harness.worker.lifecycle import (
    main,
    proven_placement,
    reserved_bytes,
    said,
    state_of,
    versions,
    write_measures,
)
from crossframe.harness.worker.process import Usage, given, memory_peak_bytes
from crossframe.tasks.spec import Task, from_json

# Before a GPU is trained on, so that its memory is sampled as it is then: more than two of `sampler.PERIOD_S`.
REST_S = 0.25


def profile(model: Any, data: Any) -> dict[str, Any]:
    """Where a step's time goes, with a state of its own too."""
    rows = data["order"][0][0]
    try:
        return profiling.profiled(model, model.put(data["x_train"][rows], data["y_train"][rows]))
    except Exception as error:
        traceback.print_exc()
        return profiling.absent(state_of(error), said(error))


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def work(job: dict[str, Any], folder: Path, measures: dict[str, Any]) -> None:
    """Fill `measures` figure by figure, so that what was measured before a failure is kept."""
    begin = time.perf_counter()
    backend = import_module(job["module"])
    measures["import_s"] = time.perf_counter() - begin
    measures["host_baseline_bytes"] = memory_peak_bytes()
    measures["dialect"] = backend.DIALECT
    measures["versions"] = versions(job["packages"])

    task: Task = from_json(job["task"])
    with np.load(job["inputs"], allow_pickle=False) as stored:
        data = {name: stored[name] for name in stored.files}
    weights = {name: data[f"weights/{name}"] for name in task.parameters()}

    begin = time.perf_counter()
    model = backend.prepare(task, weights, job["device"], job["mode"], job["precision"])
    model.sync()
    measures["prepare_s"] = time.perf_counter() - begin
    measures["placement"] = proven_placement(model, task, job["device"])
    if job["device"] != "cpu":
        measures["prepared"] = {"at_s": time.monotonic(), "reserved_bytes": reserved_bytes(model)}
        time.sleep(REST_S)

    usage = Usage()
    measures |= train(model, task, data)
    measures["placement"] = proven_placement(model, task, job["device"])
    measures["receipt"] = {**given(), **usage.told(), "settings": model.settings()}
    measures["host_peak_bytes"] = memory_peak_bytes()
    measures["device_peak_bytes"] = model.device_peak_bytes()
    measures["device_reserved_bytes"] = reserved_bytes(model)
    outputs, trained = predict(model, data["x_test"]), model.weights()
    after = {f"after_first_epoch/{name}": value for name, value in measures.pop("after_first_epoch").items()}
    kept = {f"weights/{name}": value for name, value in trained.items()}
    np.savez(folder / "outputs.npz", outputs=outputs, **after, **kept)

    model.save(folder / "checkpoint")
    files = [file for file in (folder / "checkpoint").rglob("*") if file.is_file()]
    measures["checkpoint_bytes"] = sum(file.stat().st_size for file in files)
    sample_steps(model, data, measures)  # which moves the weights; loading the checkpoint puts them back
    model.load(folder / "checkpoint")
    measures["checkpoint_exact"] = same(trained, model.weights())
    sample_inference(model, data["x_test"], measures)
    proven_placement(model, task, job["device"])  # once more, of what the checkpoint brought back
    measures["export"] = export(model, folder, job["onnx_opset"])
    if job.get("profile"):  # last, since profilers disturb, and since it moves the weights
        measures["operators"] = profiling.absent("failed", "the process ended within the profiler")
        write_measures(folder, measures)  # which stands, should that happen
        measures["operators"] = profile(model, data)


if __name__ == "__main__":
    main(Path(sys.argv[1]), work)
