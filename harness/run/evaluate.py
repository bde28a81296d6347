"""From a worker's arrays to numbers: quality, agreement with the oracle, agreement of the exported file.

One side only judges, and it is this one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from crossframe.harness.parity.dialects import spoken
from crossframe.harness.parity.reference_cache import first_epoch
from crossframe.harness.worker import quality
from crossframe.tasks.spec import Task

ONNX_BATCHES = (1, 3, 64)  # none of them the exporter's example
# The largest difference, by the largest output; measured: at most 5e-6 where the file is right. The file of a network
# that was trained in mixed precision computes in float32, and so agrees with it as far as that precision goes.
ONNX_TOLERANCE = {"float32": 1e-4, "float64": 1e-4, "tf32": 5e-3, "float16": 5e-3, "bfloat16": 5e-2}


def first_epoch_gap(task: Task, inputs: Path, outputs: Mapping[str, np.ndarray], dialect: Mapping[str, Any]) -> float:
    """The largest difference of any weight from the oracle's, after the first epoch."""
    oracle = first_epoch(task, inputs, dialect)
    return max(float(np.abs(outputs[f"after_first_epoch/{name}"] - want).max()) for name, want in oracle.items())


def run_onnx(path: str, x: np.ndarray) -> list[np.ndarray]:
    """onnx.checker's full check, then onnxruntime on the CPU at several batch sizes; runs in a process of its own."""
    import onnx
    import onnxruntime

    onnx.checker.check_model(path, full_check=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    entry = session.get_inputs()[0]
    x = x.astype(np.float64 if "double" in entry.type else np.float32)
    return [session.run(None, {entry.name: x[:batch]})[0] for batch in ONNX_BATCHES]


class OnnxJudge:
    """Runs exported files in another process, which is started again if a file brings it down."""

    def __init__(self) -> None:
        self.pool: ProcessPoolExecutor | None = None

    def close(self) -> None:
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)
            self.pool = None

    def agreement(self, path: Path, x: np.ndarray, outputs: np.ndarray, tolerance: float) -> dict[str, Any]:
        """{state, reason, max_error}: `ok` if it is valid, runs at any batch, and says what the framework said."""
        self.pool = self.pool or ProcessPoolExecutor(1, mp_context=get_context("spawn"))
        try:
            answers = self.pool.submit(run_onnx, str(path), x[: max(ONNX_BATCHES)]).result(timeout=120)
        except BrokenProcessPool:
            self.close()
            return {"state": "failed", "reason": "onnxruntime crashed on the file", "max_error": None}
        except Exception as error:
            self.close()
            return {"state": "failed", "reason": " ".join(str(error).split())[:300], "max_error": None}
        gaps = [float(np.abs(answer - outputs[: len(answer)]).max()) for answer in answers]
        worst, largest = max(gaps), float(np.abs(outputs).max())
        if worst > tolerance * max(largest, 1.0):
            reason = f"onnxruntime's outputs differ from the framework's by up to {worst:.2g}"
            return {"state": "failed", "reason": reason, "max_error": worst}
        return {"state": "ok", "reason": None, "max_error": worst}


def judge(task: Task, inputs: Path, folder: Path, measures: dict[str, Any], onnx: OnnxJudge) -> dict[str, Any]:
    """{quality, first_epoch_gap, onnx}: what the arrays in a job's folder say. ValueError where they are damaged."""
    with np.load(folder / "outputs.npz", allow_pickle=False) as stored:
        outputs = {name: stored[name] for name in stored.files}
    with np.load(inputs, allow_pickle=False) as data:
        x_test, y_test = data["x_test"], data["y_test"]
    precision = json.loads((folder / "job.json").read_text())["precision"]
    exported = {**measures["export"], "max_error": None}
    if exported["state"] == "ok":
        exported |= onnx.agreement(folder / "model.onnx", x_test, outputs["outputs"], ONNX_TOLERANCE[precision])
    return {
        "quality": quality.measure(task.loss, outputs["outputs"], y_test),
        "first_epoch_gap": first_epoch_gap(task, inputs, outputs, spoken(measures["dialect"], precision)),
        "onnx": exported,
    }
