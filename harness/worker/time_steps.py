"""Steps and nothing else, in a fresh process, by the functions of the worker: what `selftest` measures with.

`python -m crossframe.harness.worker.time_steps JOB` leaves `measures.json`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from crossframe.harness.worker.ceiling import SIZES, reached
from crossframe.harness.worker.lifecycle import main, proven_placement
from crossframe.harness.worker.process import Usage, given, memory_peak_bytes
from crossframe.harness.worker.timing import samples, seconds
from crossframe.tasks.spec import from_json

CHUNK_S, CHUNKS = 0.02, 12  # of pipelined steps: about so long, and so many
PRODUCTS = 10  # that show how fast this processor multiplies


def ceiling_flops(model: Any, device: str) -> float:
    """float32 operations a second, of a large matrix product, at most: on a card the backend's, by the clock.

    On a CPU NumPy's, in a second of processor time, as of the steps: others may take any part of the time on the wall.
    """
    if device != "cpu":
        return reached(model, device)["flops_per_s"]
    side, _ = SIZES["cpu"]
    square = np.ones((side, side), np.float32)
    return 2 * side**3 / min(processor_s(lambda: square @ square) for _ in range(PRODUCTS))


def processor_s(do: Callable[[], Any]) -> float:
    begin = time.process_time()
    do()
    return time.process_time() - begin


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
    taken, worked, read = [], [], []
    for _ in range(CHUNKS):
        worked.append(processor_s(lambda: taken.append(seconds(lambda: model.train(batches), model.sync))))
        begin = time.perf_counter()
        model.weights()
        first_s = time.perf_counter() - begin
        begin = time.perf_counter()
        model.weights()
        read.append(max(0.0, first_s - (time.perf_counter() - begin)))
    measures["epochs"] = [{"epoch": None, "train_s": spent_s, "steps": len(batches)} for spent_s in taken]
    measures["processor_samples_s"], measures["read_samples_s"] = worked, read
    proven_placement(model, task, job["device"])
    measures["step_samples_s"] = samples(lambda: model.train(batches[:1]), model.sync, 5, 0.1, 1000)
    measures["host_peak_bytes"] = memory_peak_bytes()
    measures["receipt"] = {**given(), **usage.told(), "settings": model.settings()}
    measures["ceiling_flops"] = ceiling_flops(model, job["device"]) if job["ceiling"] else None


if __name__ == "__main__":
    main(Path(sys.argv[1]), work)
