"""One file in one runtime, in a fresh process of the runtime's environment: `python -m crossframe.harness.worker.run_onnx JOB`.

Reads `job.json` and the feeds it names; leaves `stage`, which tells how far it came even where the runtime takes the
process down, `outputs.npz` and, last and whole, `measures.json`. Imports NumPy, its runtime, and no more.
"""

from __future__ import annotations

import resource
import sys
import time
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from crossframe.harness.worker.lifecycle import main, said, versions
from crossframe.harness.worker.process import memory_peak_bytes
from crossframe.harness.worker.timing import samples

Feeds = dict[str, np.ndarray]


def read_feeds(path: str) -> dict[str, Feeds]:
    """Set -> input name -> array, from an archive whose keys are `set/input`."""
    sets: dict[str, Feeds] = {}
    with np.load(path, allow_pickle=False) as stored:
        for key in stored.files:
            name, _, entry = key.partition("/")
            sets.setdefault(name, {})[entry] = stored[key]
    return sets or {"declared": {}}  # a file without inputs


class Runner:
    """A session that serves every shape, or, where the job says `fixed`, one made anew for each shape."""

    def __init__(self, job: dict[str, Any], folder: Path, measures: dict[str, Any]):
        self.job, self.folder, self.measures = job, folder, measures
        self.at("import")
        self.module = import_module(job["module"])
        self.shapes: tuple[Any, ...] | None = None

    def at(self, stage: str) -> None:
        self.measures["stage"] = stage
        (self.folder / "stage").write_text(stage)

    def prepare(self, example: Feeds) -> None:
        shapes = tuple(array.shape for array in example.values())
        if self.shapes is not None and (not self.job["fixed"] or shapes == self.shapes):
            return
        begin = time.perf_counter()
        self.at("load")
        self.session = self.module.Session(self.job["model"], len(self.job["cpus"]), self.job["device"])
        loaded = time.perf_counter()
        self.at("compile")
        self.session.compile(example if self.job["fixed"] else None)
        if self.shapes is None:
            self.measures |= {"load_s": loaded - begin, "compile_s": time.perf_counter() - loaded}
        self.measures["facts"] = self.session.facts
        self.at("run")
        self.shapes = shapes

    def run(self, feeds: Feeds) -> list[Any]:
        self.prepare(feeds)
        return self.session.run(feeds)


def tensor(answer: Any) -> np.ndarray:
    """An output as an array; TypeError for a sequence or a map, which an archive can't hold."""
    array = np.asarray(answer)
    if array.dtype == object:
        raise TypeError(f"an output is a {type(answer).__name__}, not a tensor")
    return array


def run_all(runner: Runner, sets: dict[str, Feeds], measures: dict[str, Any]) -> dict[str, np.ndarray]:
    """`set/number` -> output. A set that the runtime refuses is told in `measures`; raises where none runs."""
    outputs: dict[str, np.ndarray] = {}
    first_error = None
    for name, feeds in sets.items():
        begin = time.perf_counter()
        try:
            answers = [tensor(answer) for answer in runner.run(feeds)]
        except Exception as error:
            traceback.print_exc()
            first_error = first_error or error
            measures["sets"][name] = said(error)
            continue
        measures.setdefault("first_run_s", time.perf_counter() - begin)
        measures["sets"][name] = None
        outputs |= {f"{name}/{number}": answer for number, answer in enumerate(answers)}
    if first_error and not outputs:
        raise first_error
    return outputs


def work(job: dict[str, Any], folder: Path, measures: dict[str, Any]) -> None:
    if job["device"] == "cpu":  # a card's memory is mapped into the process, and more of it than there is
        resource.setrlimit(resource.RLIMIT_AS, (job["memory_bytes"],) * 2)
    sets = read_feeds(job["feeds"])
    begin = time.perf_counter()
    runner = Runner(job, folder, measures)
    measures |= {"import_s": time.perf_counter() - begin, "versions": versions(job["packages"]), "sets": {}}
    measures["host_baseline_bytes"] = memory_peak_bytes()
    runner.prepare(next(iter(sets.values())))
    np.savez(folder / "outputs.npz", **run_all(runner, sets, measures))  # type: ignore[arg-type]
    measures["host_peak_bytes"] = memory_peak_bytes()
    measures["infer_samples_s"] = {}
    for name in job["timed"]:
        if measures["sets"].get(name, "not run") is None:
            runner.run(sets[name])  # warm again: the last shape was another one
            taken = samples(lambda name=name: runner.run(sets[name]), lambda: None, 3, job["time_s"], 500)  # type: ignore[misc]
            measures["infer_samples_s"][name] = taken


if __name__ == "__main__":
    main(Path(sys.argv[1]), work)
