"""What this device can do at most, in a fresh process: operations a second, and bytes a second.

`python -m crossframe.harness.worker.ceiling JOB` leaves `measures.json`. It times a large matrix product and a large copy,
which the backend does (`crossframe.backends.contract.Model.ceiling`), and nothing else. A copy reads and writes every byte.
"""

from __future__ import annotations

import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from crossframe.backends.contract import Unsupported, Work
from crossframe.harness.worker.lifecycle import main, proven_placement
from crossframe.tasks.spec import SGD, Dense, Task, initial_weights

SAMPLED_S = 0.4
PIPELINED_S = 0.005  # without a look at the clock, which has a GPU wait for the next call
SIZES = {"cpu": (1024, 64 << 20), "cuda": (8192, 1 << 30)}  # kind of device -> (side of a matrix, bytes)


def prepared(job: dict[str, Any]) -> tuple[Any, Task]:
    """A small model on the job's device, in its precision, with all switches set for both; and its task."""
    task = Task("ceiling", "", (8,), (Dense(8),), "mean_squared_error", SGD(1e-3), 1, 0.0)
    backend = import_module(job["module"])
    return backend.prepare(task, initial_weights(task, 0), job["device"], job["mode"], job["precision"]), task


def best_s(do: Work) -> float:
    """The least seconds of doing it once, of several tries, after one that is not counted."""
    do(1)
    end = time.perf_counter() + SAMPLED_S
    found = [taken_s(do, 1)]
    times = max(1, int(PIPELINED_S / found[0]))
    while time.perf_counter() < end:
        found.append(taken_s(do, times) / times)
    return min(found)


def taken_s(do: Work, times: int) -> float:
    begin = time.perf_counter()
    do(times)
    return time.perf_counter() - begin


def reached(model: Any, device: str) -> dict[str, float]:
    """{flops_per_s, bytes_per_s} at most, by the backend that `model` is of."""
    if not hasattr(model, "ceiling"):
        raise Unsupported("this backend has no method `ceiling`")
    side, size = SIZES[device.partition(":")[0]]
    multiply, copy = model.ceiling(side, size)
    found = {"flops_per_s": 2 * side**3 / best_s(multiply), "bytes_per_s": 2 * size / best_s(copy)}
    given = None if device == "cpu" else model.device_peak_bytes()
    if given is not None and given < 2 * size:
        raise RuntimeError(f"asked for a copy on {device}, whose allocator gave out {given} bytes of {2 * size}")
    return found


def work(job: dict[str, Any], folder: Path, measures: dict[str, Any]) -> None:
    model, task = prepared(job)
    measures |= reached(model, job["device"])
    proven_placement(model, task, job["device"])


if __name__ == "__main__":
    main(Path(sys.argv[1]), work)
