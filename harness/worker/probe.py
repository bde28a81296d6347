"""Probes, run in a fresh process of the backend's own environment: `python -m crossframe.harness.worker.probe JOB`.

Reads `job.json` and the probes' inputs; leaves the traces in `outputs.npz` and, last and whole, `measures.json`.
"""

from __future__ import annotations

import sys
import time
import traceback
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from crossframe.harness.worker.lifecycle import main, proven_placement, said, state_of, versions
from crossframe.harness.worker.probes import EPOCH, Probe, again_of, trace
from crossframe.tasks.spec import Arrays, Task, from_json

QUEUED, QUEUED_S, TRIES = 3, 0.05, 2  # updates to wait for, at least so long, and how often


def read_probe(told: dict[str, Any]) -> Probe:
    fields = {name: tuple(value) if isinstance(value, list) else value for name, value in told.items()}
    return Probe(**{**fields, "task": from_json(told["task"])})


def own_weights(probe: Probe, weights: Arrays) -> Arrays:
    return {name: weights[name] for name in probe.task.parameters()}


def unfinished(probe: Probe, model: Any, arrays: Arrays) -> float:
    """The share of some updates' time that is left over after `sync`: what reading the weights then still waits for.

    The least of several tries, since noise only adds to it, and a barrier that is none leaves much every time.
    """
    batches = [model.put(arrays[f"{name}/x"], arrays[f"{name}/y"]) for name in probe.batches[:QUEUED]]
    for _ in range(2):  # the first one compiles
        begin = time.perf_counter()
        model.train(batches)
        model.weights()
        once_s = time.perf_counter() - begin
    # Long enough that the reading of small weights itself, and its jitter, is nothing beside it.
    batches = batches * max(1, round(QUEUED_S / once_s))
    shares = []
    for _ in range(1 + TRIES):
        model.sync()
        times = [time.perf_counter()]
        for step in (lambda: (model.train(batches), model.sync()), model.weights, model.weights):
            step()
            times.append(time.perf_counter())
        worked, read, read_again = (end - begin for begin, end in pairwise(times))
        shares.append(max(0.0, read - read_again) / (worked + read))
    return min(shares[1:])  # the first one compiles


def work(job: dict[str, Any], folder: Path, measures: dict[str, Any]) -> None:
    """Every probe in turn; one that fails keeps its reason and leaves the others alone."""
    backend = import_module(job["module"])
    measures |= {
        "dialect": backend.DIALECT,
        "modes": list(backend.MODES),
        "versions": versions(job["packages"]),
        "probes": {},
    }
    with np.load(job["inputs"], allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    weights = {name.removeprefix("weights/"): value for name, value in arrays.items() if name.startswith("weights/")}

    def prepare(task: Task, own: Arrays) -> Any:
        return backend.prepare(task, own, job["device"], job["mode"], job["precision"])

    def traced(probe: Probe) -> Arrays:
        """What the probe leaves, once it is proven where that was computed."""
        model = prepare(probe.task, own_weights(probe, weights))
        seen = trace(probe, model, arrays)
        proven_placement(model, probe.task, job["device"])
        return seen

    measures["unfinished"] = None
    traces: Arrays = {}
    for told in job["probes"]:
        probe = read_probe(told)
        try:
            seen = traced(probe)
            again = traced(probe) if probe.twice else {}
        except Exception as error:
            traceback.print_exc()
            measures["probes"][probe.name] = {"state": state_of(error), "reason": said(error)}
            continue
        measures["probes"][probe.name] = {"state": "ok", "reason": None}
        if probe.name == EPOCH:
            measures["unfinished"] = unfinished(probe, prepare(probe.task, own_weights(probe, weights)), arrays)
        traces |= {f"{probe.name}/{key}": value for key, value in seen.items()}
        traces |= {f"{again_of(probe)}/{key}": value for key, value in again.items()}
    np.savez(folder / "outputs.npz", **traces)  # type: ignore[arg-type]


if __name__ == "__main__":
    main(Path(sys.argv[1]), work)
