"""Steps and nothing else, in a fresh process: `python -m harness.stopwatch JOB`. What `harness.selftest` measures with.

The same clock as the worker's, by the same functions; leaves `measures.json`.
"""

from __future__ import annotations

import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from harness.readback import Usage, given, memory_peak_bytes
from harness.worker import main, samples, seconds
from tasks.spec import from_json

CHUNK_S, CHUNKS = 0.02, 12  # of pipelined steps: about so long, and so many
SQUARE = 1024  # rows and columns of the matrices that show how fast this processor multiplies


def ceiling_flops() -> float:
    """float32 operations a second of NumPy's matrix product on the processors of this process: the best of a few."""
    square = np.ones((SQUARE, SQUARE), np.float32)
    return 2 * SQUARE**3 / min(samples(lambda: square @ square, lambda: None, 5, 0.2, 50))


def work(job: dict[str, Any], folder: Path, measures: dict[str, Any]) -> None:
    backend = import_module(job["module"])
    task = from_json(job["task"])
    with np.load(job["inputs"], allow_pickle=False) as stored:
        data = {name: stored[name] for name in stored.files}
    weights = {name: data[f"weights/{name}"] for name in task.parameters()}
    model = backend.prepare(task, weights, job["device"], job["mode"], job["precision"])
    batches = [model.put(data["x_train"][rows], data["y_train"][rows]) for rows in data["order"][0]]
    usage = Usage()
    model.train(batches)  # compiles
    once_s = seconds(lambda: model.train(batches), model.sync)
    wanted = max(1, round(len(batches) * CHUNK_S / once_s))
    batches = (batches * (wanted // len(batches) + 1))[:wanted]
    model.train(batches)
    model.sync()
    taken, read = [], []
    for _ in range(CHUNKS):
        taken.append(seconds(lambda: model.train(batches), model.sync))
        begin = time.perf_counter()
        model.weights()
        first_s = time.perf_counter() - begin
        begin = time.perf_counter()
        model.weights()
        read.append(max(0.0, first_s - (time.perf_counter() - begin)))
    measures["epochs"] = [{"epoch": None, "train_s": spent_s, "steps": len(batches)} for spent_s in taken]
    measures["read_samples_s"] = read
    measures["step_samples_s"] = samples(lambda: model.train(batches[:1]), model.sync, 5, 0.2, 1000)
    measures["host_peak_bytes"] = memory_peak_bytes()
    measures["receipt"] = {**given(), **usage.told(), "settings": model.settings()}
    measures["ceiling_flops"] = ceiling_flops()


if __name__ == "__main__":
    main(Path(sys.argv[1]), work)
