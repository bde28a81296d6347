"""What this device can do at most, in a fresh process: operations a second, and bytes a second.

`python -m harness.measurement.ceiling JOB` leaves `measures.json`. On a CPU it is NumPy's matrix product and a copy; on
a GPU, where NumPy is not, a backend trains two large dense layers: on a large batch, which is matrix products alone,
and on a batch of one, which is reading and writing weights alone.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from harness.worker import main, proven_placement
from tasks.spec import SGD, Dense, Task, initial_weights

SAMPLED_S = 0.4
SQUARE, COPIED_BYTES = 1024, 64 << 20  # of a CPU
PRODUCTS, WEIGHTS = (4096, 8192), (8192, 1)  # of a GPU: (width, batch)
PIPELINED = 10  # steps without a look at the clock
# Of two layers: both forward, both gradients of weights, and that of the second one's input.
PRODUCTS_A_STEP = 5
PASSES_A_STEP = 3  # over the weights: read forward, read and written by the update


def best_s(do: Callable[[], Any]) -> float:
    """The least seconds of several calls, after one that is not counted."""
    do()
    taken: list[float] = []
    end = time.perf_counter() + SAMPLED_S
    while time.perf_counter() < end or not taken:
        begin = time.perf_counter()
        do()
        taken.append(time.perf_counter() - begin)
    return min(taken)


def of_numpy(precision: str) -> dict[str, float]:
    """By this process's own processors and threads, as every worker has them. NumPy's product knows no fewer bits."""
    source = np.ones(COPIED_BYTES, np.uint8)
    target = np.zeros_like(source)
    found = {"bytes_per_s": 2 * COPIED_BYTES / best_s(lambda: np.copyto(target, source))}
    if precision in ("float32", "float64"):
        square = np.random.default_rng(0).random((SQUARE, SQUARE)).astype(precision)
        found["flops_per_s"] = 2 * SQUARE**3 / best_s(lambda: square @ square)
    return found


def step_s(job: dict[str, Any], width: int, batch_size: int) -> float:
    """Seconds of a step of two dense layers of `width`, pipelined."""
    task = Task("ceiling", "", (width,), (Dense(width), Dense(width)), "mean_squared_error", SGD(1e-3), 1, 0.0)
    weights = initial_weights(task, seed=0)
    backend = import_module(job["module"])
    model = backend.prepare(task, weights, job["device"], job["mode"], job["precision"])
    x = np.random.default_rng(0).standard_normal((batch_size, width), np.float32)
    batches = [model.put(x, x)] * PIPELINED

    def steps() -> None:
        model.train(batches)
        model.sync()

    model.sync()
    taken_s = best_s(steps) / PIPELINED
    proven_placement(model, task, job["device"])
    return taken_s


def work(job: dict[str, Any], folder: Path, measures: dict[str, Any]) -> None:
    if job["device"] == "cpu":
        measures |= of_numpy(job["precision"])
        return
    width, batch_size = PRODUCTS
    measures["flops_per_s"] = PRODUCTS_A_STEP * 2 * width**2 * batch_size / step_s(job, width, batch_size)
    width, batch_size = WEIGHTS
    moved = PASSES_A_STEP * 2 * width**2 * job["weight_bytes"]
    measures["bytes_per_s"] = moved / step_s(job, width, batch_size)


if __name__ == "__main__":
    main(Path(sys.argv[1]), work)
