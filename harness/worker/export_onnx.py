"""One backend exporting one trained network again: `python -m crossframe.harness.worker.export_onnx JOB`.

Runs in the backend's own environment. Exports at each opset and by each route asked for, each with a state of its own,
and measures the framework's own inference on as many processors as a cell has. Imports NumPy, its backend, and no more.
"""

from __future__ import annotations

import sys
import time
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from crossframe.harness.worker.lifecycle import main, said
from crossframe.harness.worker.run_onnx import read_feeds
from crossframe.harness.worker.timing import samples
from crossframe.tasks.spec import from_json


def work(job: dict[str, Any], folder: Path, measures: dict[str, Any]) -> None:
    task = from_json(job["task"])
    with np.load(job["outputs"], allow_pickle=False) as stored:
        weights = {name: stored[f"weights/{name}"] for name in task.parameters()}
    model = import_module(job["module"]).prepare(task, weights, "cpu", job["mode"], job["precision"])
    measures["infer_samples_s"] = {}
    sets = read_feeds(job["feeds"])
    for name in job["timed"]:
        x = sets[name]["x"]
        samples(lambda x=x: model.predict(x), model.sync, 2, 0.05, 50)  # type: ignore[misc] # compile and warm up
        measures["infer_samples_s"][name] = samples(lambda x=x: model.predict(x), model.sync, 3, job["time_s"], 500)  # type: ignore[misc]
    measures["exports"] = {}
    for name, (opset, route) in job["exports"].items():
        place(folder, name).parent.mkdir(exist_ok=True)
        measures["exports"][name] = export(model, place(folder, name).parent, opset, route)


def place(folder: Path, variant: str) -> Path:
    """Where a variant's file goes."""
    return folder / variant.replace(" ", "-") / "model.onnx"


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


if __name__ == "__main__":
    main(Path(sys.argv[1]), work)
