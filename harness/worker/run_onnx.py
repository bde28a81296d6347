"""A job of one ONNX file in one runtime, in a process of the environment of the runtime.

The worker leaves `stage`, which names the last stage even if the runtime ends the process, `outputs.npz` and, last,
`measures.json`.
"""

from __future__ import annotations

import resource
import traceback
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from crossframe.harness.worker.archives import read_feeds
from crossframe.harness.worker.backend_model import package_versions
from crossframe.harness.worker.failures import summarize_error
from crossframe.harness.worker.jobs import RunOnnxJob
from crossframe.harness.worker.measurements import OnnxMeasurements
from crossframe.harness.worker.process import memory_peak_bytes, record_peak
from crossframe.harness.worker.timing import read_clock, time_calls
from crossframe.tasks.spec import Arrays


def run_onnx_job(job: RunOnnxJob, folder: Path, measurements: OnnxMeasurements) -> None:
    """Execute a job of one file in one runtime: run every set of inputs, then time some of them."""
    measurements.stage = "import"
    if job.device == "cpu":  # a GPU driver maps its memory into the address space, which would exceed any limit
        resource.setrlimit(resource.RLIMIT_AS, (job.memory_bytes, job.memory_bytes))
    sets = read_feeds(job.feeds)
    begin = read_clock()
    runner = Runner(job, folder, measurements)
    measurements.import_s = read_clock() - begin
    measurements.versions = package_versions(job.packages)
    measurements.host_baseline_bytes = memory_peak_bytes()
    runner.prepare(next(iter(sets.values())))
    outputs = run_sets(runner, sets, measurements)
    np.savez(folder / "outputs.npz", **outputs)  # type: ignore[arg-type]  # NumPy's stub takes `outputs` for a flag
    record_peak(measurements)
    for name, members in job.timed.items():
        if all(measurements.sets.get(member, "not run") is None for member in members):
            turns = cycle([sets[member] for member in members])
            runner.run(next(turns))  # warm up: the previous set may have had another shape
            call = partial(run_next, runner, turns)
            measurements.infer_samples_s[name] = time_calls(call, do_nothing, 3, job.time_s, 500)


def run_next(runner: Runner, turns: Iterator[Arrays]) -> None:
    """Run the next set of inputs."""
    runner.run(next(turns))


def do_nothing() -> None:
    """Stand in for the synchronization of a runtime, whose results are complete when it returns."""


class Runner:
    """A session that serves every shape, or, where the job says `fixed`, one session for each change of shapes."""

    def __init__(self, job: RunOnnxJob, folder: Path, measurements: OnnxMeasurements) -> None:
        self.job, self.folder, self.measurements = job, folder, measurements
        self.enter_stage("import")
        self.module = import_module(job.module)
        self.session: Any = None  # `crossframe.harness.runtimes.Session`
        self.shapes: tuple[tuple[int, ...], ...] | None = None

    def enter_stage(self, stage: str) -> None:
        """Record that a stage begins."""
        self.measurements.stage = stage
        (self.folder / "stage").write_text(stage)

    def prepare(self, example: Arrays) -> None:
        """Make a session for the shapes of `example`, unless the current one serves them."""
        shapes = tuple(array.shape for array in example.values())
        if self.shapes is not None and (not self.job.fixed or shapes == self.shapes):
            return
        begin = read_clock()
        self.enter_stage("load")
        self.session = self.module.Session(self.job.model, len(self.job.cpus), self.job.device)
        load_end = read_clock()
        self.enter_stage("compile")
        self.session.compile(example if self.job.fixed else None)
        if self.shapes is None:
            self.measurements.load_s = load_end - begin
            self.measurements.compile_s = read_clock() - load_end
        self.measurements.facts = self.session.facts
        self.enter_stage("run")
        self.shapes = shapes

    def run(self, feeds: Arrays) -> list[Any]:
        """Return the outputs for one set of inputs."""
        self.prepare(feeds)
        outputs: list[Any] = self.session.run(feeds)
        return outputs


def run_sets(runner: Runner, sets: dict[str, Arrays], measurements: OnnxMeasurements) -> Arrays:
    """Return `set/number` -> output. A set that the runtime refuses is recorded; raises if it refuses all of them."""
    outputs: Arrays = {}
    first_error = None
    for name, feeds in sets.items():
        begin = read_clock()
        try:
            arrays = [convert_output(output) for output in runner.run(feeds)]
        except Exception as error:
            traceback.print_exc()
            first_error = first_error or error
            measurements.sets[name] = summarize_error(error)
            continue
        if measurements.first_run_s is None:
            measurements.first_run_s = read_clock() - begin
        measurements.sets[name] = None
        outputs |= {f"{name}/{number}": array for number, array in enumerate(arrays)}
    if first_error and not outputs:
        raise first_error
    return outputs


def convert_output(output: Any) -> np.ndarray:
    """Return an output as an array. TypeError for a sequence or a map, which an archive can't hold."""
    array = np.asarray(output)
    if array.dtype == object:
        raise TypeError(f"an output is a {type(output).__name__}, not a tensor")
    return array
