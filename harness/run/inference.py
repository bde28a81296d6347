"""`crossframe infer`: inference of every mode at several batch sizes, beside onnxruntime on the exported file.

Nothing is trained, since the speed of a network does not depend on its weights. Each row has one process a round; the
rounds are interleaved in random order, and onnxruntime gets the same processors or the same GPU as the frameworks. The
inputs of every call differ from those of the call before, and answers of timed calls are compared with the reference
model. Training is not verified, so nothing is ranked: use `crossframe run` for that.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from crossframe.backends.contract import Precision
from crossframe.harness.analysis.model import Metric
from crossframe.harness.analysis.statistics import interval, steady
from crossframe.harness.console import Progress
from crossframe.harness.files import write_atomically
from crossframe.harness.launch.child import ChildProcess
from crossframe.harness.launch.launch import Outcome, launch
from crossframe.harness.machine.environments import Environment
from crossframe.harness.machine.runtime_environments import make_runtime_environments
from crossframe.harness.plan.inputs import draw_inputs
from crossframe.harness.plan.plan import Plan, task_for
from crossframe.harness.plan.readiness import prepare_environments
from crossframe.harness.records.model import Cell
from crossframe.harness.run.inference_checks import check_answers, check_runtime_answers
from crossframe.harness.runtimes import MEMORY_BYTES, Runtime, discover
from crossframe.harness.worker.jobs import InferJob, RunOnnxJob
from crossframe.harness.worker.measurements import InferMeasurements, OnnxMeasurements
from crossframe.harness.worker.predictions import draw_rows
from crossframe.harness.worker.states import State
from crossframe.tasks.spec import Arrays

BASELINE = "onnxruntime"
SAMPLED_S = 0.3  # of each batch size
TURNS = 4  # different inputs of each batch size, which the calls of onnxruntime take in turn
Samples = dict[str, list[float]]  # batch size -> seconds of each call


@dataclass(frozen=True)
class InferenceRow:
    """The inference of a cell by one runner at one batch size."""

    task: str
    backend: str
    device: str
    precision: str
    runs: str  # a mode of the backend, or `onnxruntime` on the backend's file
    batch_size: int
    state: State
    reason: str | None
    p50_s: Metric | None
    p95_s: Metric | None
    samples_per_s: Metric | None


def name_feed(size: int, number: int) -> str:
    """Return the name of one of the inputs of a batch size, for onnxruntime."""
    return f"{size}.{number}"


def write_feeds(path: Path, inputs: Path, batch_sizes: Sequence[int]) -> None:
    """Write an archive with `TURNS` inputs of each batch size, drawn from the held-out samples of `inputs`."""
    with np.load(inputs, allow_pickle=False) as stored:
        x = stored["x_test"]
    generator = np.random.default_rng()
    feeds: Arrays = {
        f"{name_feed(size, number)}/x": draw_rows(x, size, generator)[0].astype(np.float32)
        for size in batch_sizes
        for number in range(TURNS)
    }
    write_atomically(path, feeds)


class InferenceBench:
    """The processes of `crossframe infer` and their results, by (cell, runner)."""

    def __init__(self, plan: Plan, batch_sizes: list[int], folder: Path, child: ChildProcess) -> None:
        self.plan, self.batch_sizes, self.folder, self.child = plan, batch_sizes, folder, child
        self.environments, self.missing = prepare_environments(plan, plan.backends)
        self.runtime: Runtime = discover()[BASELINE if plan.device == "cpu" else f"{BASELINE}_cuda"]
        interpreters = {name: Path(python) for name, python in plan.options.python.items()}
        environments, failures = make_runtime_environments([self.runtime], plan.device, interpreters)
        self.runtime_environment: Environment | None = environments.get(self.runtime.name)
        self.runtime_reason = failures.get(self.runtime.name)
        self.rounds: dict[tuple[Cell, str], list[Samples]] = {}
        self.states: dict[tuple[Cell, str], tuple[State, str | None]] = {}

    def store(self, cell: Cell, runner: str, outcome: Outcome[InferMeasurements] | Outcome[OnnxMeasurements]) -> None:
        """Store the samples and the state of one round; the state of a round that failed stays."""
        if outcome.state == State.OK:
            self.rounds.setdefault((cell, runner), []).append(outcome.measurements.infer_samples_s)
        if outcome.state != State.OK or (cell, runner) not in self.states:
            self.states[cell, runner] = (outcome.state, outcome.reason)

    def run_framework(self, cell: Cell) -> None:
        """Run the framework, which exports its file for the baseline."""
        backend = self.plan.backends[cell.backend]
        if cell.backend not in self.environments:
            self.states[cell, cell.mode] = self.missing[cell.backend]
            return
        job = InferJob(
            module=backend.module,
            packages=list(backend.manifest.packages),
            mode=cell.mode,
            device=cell.device,
            precision=Precision(cell.precision),
            task=task_for(self.plan, cell),
            inputs=str(self.find_inputs(cell)),
            onnx_opset=backend.manifest.onnx_opset,
            batch_sizes=self.batch_sizes,
            cpus=self.plan.options.cpus,
        )
        python, folder = self.environments[cell.backend].python, (self.folder / cell.name).resolve()
        outcome = launch(python, backend, job, folder, self.plan.options.timeout_s)
        if outcome.state == State.OK:
            parts = folder, job.task, Path(job.inputs), cell.precision, self.batch_sizes
            reason = self.child.call(check_answers, *parts)
            outcome = replace(outcome, state=State.FAILED, reason=reason) if reason else outcome
        self.store(cell, cell.mode, outcome)
        export = outcome.measurements.export
        if outcome.state == State.OK and export is not None and export.state != State.OK:
            self.states[cell, BASELINE] = (State.UNSUPPORTED, f"no file: {export.reason}")

    def run_baseline(self, cell: Cell) -> None:
        """Run onnxruntime on the file that the backend of a cell exported."""
        model = self.folder / cell.name / "model.onnx"
        if self.runtime_environment is None:
            self.states[cell, BASELINE] = (State.NOT_INSTALLED, self.runtime_reason)
            return
        if not model.exists():
            self.states.setdefault((cell, BASELINE), (State.SKIPPED, "the framework exported no file"))
            return
        job = RunOnnxJob(
            module=self.runtime.module,
            packages=list(self.runtime.manifest.packages),
            model=str(model.resolve()),
            feeds=str(self.write_feeds(cell).resolve()),
            device=self.plan.device,
            memory_bytes=MEMORY_BYTES,
            fixed=False,
            timed={str(size): [name_feed(size, number) for number in range(TURNS)] for size in self.batch_sizes},
            time_s=SAMPLED_S,
            cpus=self.plan.options.cpus,
        )
        folder = (self.folder / f"{cell.name}-{BASELINE}").resolve()
        python, timeout_s = self.runtime_environment.python, self.plan.options.timeout_s
        outcome = launch(python, self.runtime, job, folder, timeout_s)
        if outcome.state == State.OK:
            parts = folder, task_for(self.plan, cell), self.find_inputs(cell), Path(job.feeds)
            reason = self.child.call(check_runtime_answers, *parts)
            outcome = replace(outcome, state=State.FAILED, reason=reason) if reason else outcome
        self.store(cell, BASELINE, outcome)

    def find_inputs(self, cell: Cell) -> Path:
        """Return the archive with the data and the weights of a cell, drawn on first use."""
        return self.child.call(draw_inputs, self.plan, self.folder, cell).resolve()

    def write_feeds(self, cell: Cell) -> Path:
        """Return the archive with `TURNS` inputs of each batch size, written once for each task."""
        path = self.folder / f"{cell.task}-feeds.npz"
        if not path.exists():
            self.child.call(write_feeds, path, self.find_inputs(cell), self.batch_sizes)
        return path

    def summarize_row(self, cell: Cell, runner: str, batch_size: int) -> InferenceRow:
        """Return the median over rounds of percentiles and throughput, after warm-up."""
        state, reason = self.states[cell, runner]
        samples = (rounds.get(str(batch_size)) for rounds in self.rounds.get((cell, runner), []))
        rounds = [steady(seconds) for seconds in samples if seconds]

        def percentile(share: float) -> Metric | None:
            return interval([float(np.percentile(seconds, share)) for seconds in rounds]) if rounds else None

        rates = [batch_size / float(np.median(seconds)) for seconds in rounds]
        return InferenceRow(
            task=cell.task,
            backend=cell.backend,
            device=cell.device,
            precision=cell.precision,
            runs=runner,
            batch_size=batch_size,
            state=state,
            reason=reason,
            p50_s=percentile(50),
            p95_s=percentile(95),
            samples_per_s=interval(rates) if rates else None,
        )


def measure_inference(plan: Plan, batch_sizes: list[int]) -> list[InferenceRow]:
    """Return a row for each cell, runner and batch size."""
    cells = list(dict.fromkeys(job.cell for job in plan.jobs))
    # All modes of a backend export the same file; that of the first mode is run.
    exporters = {(cell.task, cell.backend, cell.precision): cell for cell in reversed(cells)}
    with tempfile.TemporaryDirectory(prefix="crossframe-") as name, closing(ChildProcess()) as child:
        bench = InferenceBench(plan, batch_sizes, Path(name), child)
        with Progress("inference", [1.0] * (len(cells) * plan.repeats)) as progress:
            for number in range(1, plan.repeats + 1):
                for cell in random.Random(number).sample(cells, len(cells)):
                    label = f"{cell.task} {plan.titles[cell.backend]} {cell.mode}"
                    progress.start_item(label)
                    bench.run_framework(cell)
                    # Below float32 the exported network is the one of float32.
                    if cell in exporters.values() and cell.precision != "float64":
                        bench.run_baseline(cell)
                    state = bench.states[cell, cell.mode][0]
                    progress.end_item(1.0, f"round {number}: {label} {state}", notable=state != State.OK)
    runs = sorted(bench.states, key=str)
    return [bench.summarize_row(cell, runner, size) for cell, runner in runs for size in batch_sizes]


def format_rows(rows: Sequence[InferenceRow], titles: Mapping[str, str]) -> str:
    """Return a line for each row; `x ort` is the throughput relative to onnxruntime on the same backend's file.

    `titles` are those of the backends, by name.
    """
    several = len({row.precision for row in rows}) > 1
    width = 20 if several else 12
    label = f"{'task':<12} {'framework':<11} {'runs':<{width}} {'batch':>5}"
    lines = [f"{label} {'p50 ms':>9} {'p95 ms':>9} {'samples/s':>11} x ort"]
    baselines = {
        (row.task, row.backend, row.batch_size): row.samples_per_s
        for row in rows
        if (row.runs, row.precision) == (BASELINE, "float32")
    }
    for row in sorted(rows, key=lambda row: (row.task, row.batch_size, row.backend, row.runs, row.precision)):
        runs = f"{row.runs} {row.precision}" if several else row.runs
        label = f"{row.task:<12} {titles[row.backend]:<11} {runs:<{width}} {row.batch_size:>5}"
        lines.append(f"{label} {format_speed(row, baselines.get((row.task, row.backend, row.batch_size)))}")
    return "\n".join(lines) + "\n"


def format_speed(row: InferenceRow, baseline: Metric | None) -> str:
    """Return percentiles and throughput of a row, or its state and reason."""
    p50_s, p95_s, rate = (metric.value if metric else None for metric in (row.p50_s, row.p95_s, row.samples_per_s))
    if p50_s is None or p95_s is None or rate is None:
        return f"{row.state}: {row.reason}"
    ratio = f"{rate / baseline.value:.2f}" if baseline and baseline.value else ""
    return f"{p50_s * 1e3:>9.3f} {p95_s * 1e3:>9.3f} {rate:>11,.0f} {ratio}"
