"""One job, in a fresh process of the backend's own environment: `python -m harness.worker JOB`.

Reads `job.json` and the inputs it names; leaves `outputs.npz`, `model.onnx`, `checkpoint/` and, last and whole,
`measures.json`. What it prints goes to `log.txt` and means nothing. Imports NumPy, its backend, and no more.
"""

from __future__ import annotations

import json
import math
import os
import re
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from harness.measurement import operators
from harness.measurement.readback import Usage, given, memory_peak_bytes
from harness.measurement.training import Diverged, predict, sample_inference, sample_steps, train
from tasks.spec import Task, from_json

OUT_OF_MEMORY = re.compile(
    r"out of memory|\bOOM\b|RESOURCE_EXHAUSTED|bad_alloc|can't allocate memory|cannot allocate memory|"
    r"_ALLOC(ATION)?_FAILED",
    re.I,
)
# Before a GPU is trained on, so that its memory is sampled as it is then: more than two of `sampler.PERIOD_S`.
REST_S = 0.25
NARROWEST_BYTES = 2  # of a parameter, in the narrowest precision


def reserved_bytes(model: Any) -> int | None:
    """What its allocator took of the device so far, at most; None where the backend does not tell."""
    return model.device_reserved_bytes() if hasattr(model, "device_reserved_bytes") else None


def export(model: Any, folder: Path, opset: int, route: str | None = None) -> dict[str, Any]:
    """The ONNX file, with a state of its own: a network that trains but does not export is still a result."""
    path = folder / "model.onnx"
    begin = time.perf_counter()
    try:
        model.export_onnx(path, opset, *([route] if route else []))
    except Exception as error:
        traceback.print_exc()
        state = "unsupported" if type(error).__name__ == "Unsupported" else "failed"
        return {"state": state, "reason": said(error), "export_s": None, "onnx_bytes": None}
    beside = [file.stat().st_size for file in folder.glob("model.onnx*")]
    return {"state": "ok", "reason": None, "export_s": time.perf_counter() - begin, "onnx_bytes": sum(beside)}


def profile(model: Any, data: Any) -> dict[str, Any]:
    """Where a step's time goes, with a state of its own too."""
    rows = data["order"][0][0]
    try:
        return operators.profiled(model, model.put(data["x_train"][rows], data["y_train"][rows]))
    except Exception as error:
        traceback.print_exc()
        return operators.absent(state_of(error), said(error))


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def proven_placement(model: Any, task: Task, device: str) -> str:
    """Where every parameter is and every result was, to be asked once there are some; RuntimeError if not on `device`.

    On a GPU its allocator must also have given out what they need at least. One that does not tell is not asked: what
    the driver saw of the card's memory is judged in its stead, by `harness.measurement.gpu`.
    """
    place = model.placement()
    if place != device:
        raise RuntimeError(f"asked for {device}, but its parameters and results lie on {place}")
    peak = None if device == "cpu" else model.device_peak_bytes()
    needed = NARROWEST_BYTES * sum(math.prod(shape) for shape in task.parameters().values())
    if peak is not None and peak < needed:
        raise RuntimeError(f"asked for {device}, whose allocator gave out {peak} bytes; {needed} are needed at least")
    return place


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
        measures["operators"] = operators.absent("failed", "the process ended within the profiler")
        write_measures(folder, measures)  # which stands, should that happen
        measures["operators"] = profile(model, data)


def versions(packages: list[str]) -> dict[str, str]:
    """Package -> version, of those that are there: a build for one device may have a name of its own."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for package in packages:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def said(error: BaseException) -> str:
    """An error in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:500]


def state_of(error: Exception) -> str:
    if isinstance(error, Diverged):
        return "diverged"
    if type(error).__name__ == "Unsupported":
        return "unsupported"
    return "out_of_memory" if isinstance(error, MemoryError) or OUT_OF_MEMORY.search(str(error)) else "failed"


def write_measures(folder: Path, measures: dict[str, Any]) -> None:
    """Written aside and moved into place: that it is there means that it is whole."""
    aside = folder / "measures.json.part"
    aside.write_text(json.dumps(measures))
    aside.replace(folder / "measures.json")


def main(folder: Path, do: Callable[[dict[str, Any], Path, dict[str, Any]], None] = work) -> NoReturn:
    """Read the job, do it, leave its measures, whatever happens, and end the process."""
    job = json.loads((folder / "job.json").read_text())
    os.sched_setaffinity(0, job["cpus"])
    measures: dict[str, Any] = {"state": "ok", "reason": None}
    try:
        do(job, folder, measures)
    except Exception as error:
        traceback.print_exc()
        measures |= {"state": state_of(error), "reason": said(error)}
    measures.pop("after_first_epoch", None)
    write_measures(folder, measures)
    sys.stdout.flush()
    sys.stderr.flush()
    # All is said. To take itself down, a framework needs up to a second; the kernel needs none.
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
