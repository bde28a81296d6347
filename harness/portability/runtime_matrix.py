"""Runs of model files in runtimes: one process for each pair, in parallel, each pinned to one processor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import SimpleQueue
from threading import Lock
from typing import TypeVar

import numpy as np

from crossframe.harness.files import write_atomically
from crossframe.harness.launch.child import ChildError, ChildProcess
from crossframe.harness.launch.launch import Outcome, launch
from crossframe.harness.launch.processes import end_all
from crossframe.harness.machine.environments import Environment
from crossframe.harness.portability import checks, spec_onnx
from crossframe.harness.portability.checks import Conclusion, Outputs, WrongOutputError
from crossframe.harness.portability.model_file import ModelFile
from crossframe.harness.portability.test_vectors import vectors_from_task
from crossframe.harness.records.portability import PortabilityState, RuntimeMetrics, RuntimeResult, Stage
from crossframe.harness.runtimes import MEMORY_BYTES, Runtime
from crossframe.harness.worker.jobs import RunOnnxJob
from crossframe.harness.worker.measurements import OnnxMeasurements
from crossframe.harness.worker.states import State
from crossframe.tasks.spec import SGD, Dense, Task, initial_weights

TIMED_SETS = ("batch_1", "batch_64")
TIME_S = 0.15  # for the calls of each timed set

# The positive control: one Gemm. A runtime that fails on it is not installed correctly.
CONTROL = Task("control", "", (4,), (Dense(3),), "mean_squared_error", SGD(0.1), epochs=1, target=0.0)

A = TypeVar("A")
B = TypeVar("B")


@dataclass(frozen=True)
class Resources:
    """The resources of the processes, and the interpreters that the user named."""

    timeout_s: float  # of one process
    cpus: list[int]
    device: str = "cpu"
    python: Mapping[str, Path] = field(default_factory=dict)  # runtime -> interpreter given by the user


@dataclass(frozen=True)
class FileRun:
    """One process that ran one file."""

    outcome: Outcome[OnnxMeasurements]
    folder: Path

    def read_outputs(self) -> Outputs:
        """Return the outputs that it left; none if they can't be read. They may be large."""
        if self.outcome.state != State.OK:
            return {}
        try:
            return checks.read_outputs(self.folder)
        except (OSError, ValueError):
            return {}


class RuntimeMatrix:
    """The runtimes with their environments, and the processors that are free."""

    def __init__(
        self,
        folder: Path,
        runtimes: Mapping[str, Runtime],
        environments: Mapping[str, Environment],
        missing: Mapping[str, str],
        resources: Resources,
    ) -> None:
        self.folder, self.runtimes, self.environments = folder.resolve(), runtimes, environments
        self.missing = dict(missing)  # runtime -> reason
        self.resources = resources
        self._gpu_lock = Lock()  # processes that share the GPU would slow each other down
        self.child = ChildProcess()  # which compares outputs
        self._pool = ThreadPoolExecutor(len(resources.cpus))
        self._cpus: SimpleQueue[int] = SimpleQueue()
        for cpu in resources.cpus:
            self._cpus.put(cpu)

    def __enter__(self) -> RuntimeMatrix:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind:
            end_all()
            self.child.close()
        self._pool.shutdown(cancel_futures=True)
        self.child.close()

    @contextmanager
    def claim_processor(self) -> Iterator[int]:
        """Wait for a free processor and keep it for the duration of the context."""
        cpu = self._cpus.get()
        try:
            yield cpu
        finally:
            self._cpus.put(cpu)

    def map(self, function: Callable[[A], B], items: Iterable[A]) -> list[B]:
        """Return the results in order, computed in as many threads as there are processors."""
        return list(self._pool.map(function, items))

    def is_usable(self, runtime: str) -> bool:
        """Return whether the runtime has an environment and passed its control."""
        return runtime in self.environments and runtime not in self.missing

    def check_controls(self) -> None:
        """Run the positive control in every runtime and record those that fail as missing."""
        weights = initial_weights(CONTROL, 0)
        path = self.folder / "control" / "model.onnx"
        write_atomically(path, spec_onnx.write_model(CONTROL, weights, opset=13).SerializeToString())
        x = np.random.default_rng(0).normal(size=(100, 4)).astype(np.float32)
        vectors = vectors_from_task(CONTROL, weights, x)
        file = ModelFile("control", "control", path, vectors.save(self.folder / "control.npz"), vectors)
        reasons = self.map(lambda name: self.find_control_failure(file, name), self.environments)
        for name, reason in zip(self.environments, reasons):
            if reason:
                self.missing[name] = f"its adapter fails on a model of one node: {reason}"

    def find_control_failure(self, file: ModelFile, runtime: str) -> str | None:
        """Return why the control failed in a runtime, None if it passed."""
        run = self.run_file(file, runtime)
        if run.outcome.state != State.OK:
            failure = checks.classify_failure(run.outcome, run.folder)
            return f"{failure.state} at {failure.stage}: {failure.reason}"
        try:
            distances = checks.find_worst_distances(file, run.read_outputs())
        except WrongOutputError as error:
            return str(error)
        return None if distances and distances.relative_error < checks.TOLERANCE else "its outputs are wrong"

    def run_file(self, file: ModelFile, runtime: str, fixed: bool = False) -> FileRun:
        """Run one file in one process; with `fixed`, in a new session for every shape."""
        plugin = self.runtimes[runtime]
        folder = self.folder / "runs" / f"{file.key}-{runtime}{'-fixed' * fixed}"
        device = plugin.device_for(self.resources.device)
        with nullcontext() if device == "cpu" else self._gpu_lock, self.claim_processor() as cpu:
            job = RunOnnxJob(
                cpus=[cpu],
                module=plugin.module,
                packages=list(plugin.manifest.packages),
                model=str(file.path.resolve()),
                feeds=str(file.feeds.resolve()),
                device=device,
                memory_bytes=MEMORY_BYTES,
                fixed=fixed,
                timed={name: [name] for name in TIMED_SETS},
                time_s=TIME_S,
            )
            python = self.environments[runtime].python
            outcome = launch(python, plugin, job, folder, self.resources.timeout_s)
        return FileRun(outcome, folder)

    def measure(self, file: ModelFile, runtime: str) -> RuntimeResult:
        """Return the result of one file in one runtime.

        A file that does not run at every batch size is run again with a new session for every shape.
        """
        if runtime in self.missing:
            reason = self.missing[runtime]
            return make_result(file, runtime, Conclusion(PortabilityState.NOT_INSTALLED, Stage.IMPORT, reason))
        if file.structure and file.structure.external.outside:
            reason = f"not loaded: its weights leave the folder: {', '.join(file.structure.external.outside)}"
            return make_result(file, runtime, Conclusion(PortabilityState.REFUSED, Stage.LOAD, reason))
        run, fixed = self.run_file(file, runtime), None
        if run.outcome.state != State.TIMEOUT and not checks.is_complete(run.outcome):
            retry = self.run_file(file, runtime, fixed=True)
            if checks.is_complete(retry.outcome):
                fixed = describe_first_error(run)
                run = retry
        measurements = run.outcome.measurements
        if run.outcome.state != State.OK:
            conclusion = checks.classify_failure(run.outcome, run.folder)
        else:
            conclusion = self.compare_outputs(file, run, fixed)
        return make_result(file, runtime, conclusion, measurements)

    def compare_outputs(self, file: ModelFile, run: FileRun, fixed: str | None) -> Conclusion:
        """Return the conclusion for a file that ran; outputs that need too much memory or time are those of a crash."""
        compared = replace(file, vectors=replace(file.vectors, feeds={}))
        try:
            return self.child.call(checks.conclude_run, compared, run.outcome, run.folder, fixed)
        except (ChildError, MemoryError) as error:
            return Conclusion(PortabilityState.CRASH, Stage.COMPARE, f"its outputs can't be compared: {error}")


def describe_first_error(run: FileRun) -> str | None:
    """Return why a file did not run at every batch size."""
    if run.outcome.state != State.OK:
        return checks.classify_failure(run.outcome, run.folder).reason
    return next(error for error in run.outcome.measurements.sets.values() if error)


def make_result(
    file: ModelFile, runtime: str, conclusion: Conclusion, measurements: OnnxMeasurements | None = None
) -> RuntimeResult:
    """Return the result of one file in one runtime; `measurements` is None if it was not run."""
    provenance = file.structure.provenance if file.structure else None
    return RuntimeResult(
        task=file.name,
        exporter=file.exporter,
        variant=file.variant,
        runtime=runtime,
        opset=provenance.opset.get("ai.onnx") if provenance else None,
        sha256=provenance.sha256 if provenance else None,
        state=conclusion.state,
        stage=conclusion.stage,
        reason=conclusion.reason,
        costs=conclusion.costs,
        checks=conclusion.checks,
        versions=measurements.versions if measurements else {},
        facts=measurements.facts if measurements else {},
        metrics=summarize(measurements) if measurements else RuntimeMetrics(),
    )


def summarize(measurements: OnnxMeasurements) -> RuntimeMetrics:
    """Return the metrics of one process, with percentiles of its timed calls."""
    percentiles = {
        f"{name}_p{percent}_s": float(np.percentile(samples, percent))
        for name in TIMED_SETS
        if (samples := measurements.infer_samples_s.get(name))
        for percent in (50, 95)
    }
    return RuntimeMetrics(
        import_s=measurements.import_s,
        load_s=measurements.load_s,
        compile_s=measurements.compile_s,
        first_run_s=measurements.first_run_s,
        host_baseline_bytes=measurements.host_baseline_bytes,
        host_peak_bytes=measurements.host_peak_bytes,
        **percentiles,
    )
