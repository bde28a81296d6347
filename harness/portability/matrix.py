"""Files by runtimes: a process a cell, as many at a time as there are processors, each held to one of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from threading import Lock
from typing import Any

import numpy as np
import onnx

from crossframe.harness.launch.launch import Outcome, end_all, launch
from crossframe.harness.machine.environments import Environment
from crossframe.harness.portability import spec_onnx, verdict
from crossframe.harness.portability.model_file import Subject
from crossframe.harness.portability.test_vectors import of_task
from crossframe.harness.runtimes import MEMORY_BYTES, Runtime
from crossframe.tasks.spec import SGD, Dense, Task, initial_weights

TIMED = ("batch_1", "batch_64")
TIME_S = 0.15  # for the samples of each of them

# The positive control: one Gemm. A runtime that fails on it is not installed right, whatever the file.
CONTROL = Task("control", "", (4,), (Dense(3),), "mean_squared_error", SGD(0.1), epochs=1, target=0.0)

Record = dict[str, Any]


@dataclass(frozen=True)
class Resources:
    """What cells may use: seconds each, processors, the device, and interpreters of the user's own by runtime."""

    timeout_s: float
    cpus: list[int]
    device: str = "cpu"
    python: dict[str, Path] = field(default_factory=dict)


class Bench:
    """Where cells run: the runtimes that are ready, why others are not, and the processors, one a cell."""

    def __init__(
        self,
        folder: Path,
        runtimes: dict[str, Runtime],
        ready: dict[str, Environment],
        failed: dict[str, str],
        resources: Resources,
    ):
        self.folder, self.runtimes, self.ready, self.failed = folder.resolve(), runtimes, ready, dict(failed)
        self.resources = resources
        self.card = Lock()  # cells that share it would take each other's time
        self.pool = ThreadPoolExecutor(len(resources.cpus))
        self.cpus: SimpleQueue[int] = SimpleQueue()
        for cpu in resources.cpus:
            self.cpus.put(cpu)

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind:
            end_all()
        self.pool.shutdown(cancel_futures=True)

    @contextmanager
    def processor(self) -> Iterator[int]:
        cpu = self.cpus.get()
        try:
            yield cpu
        finally:
            self.cpus.put(cpu)

    def map(self, do: Any, what: Iterable[Any]) -> list[Any]:
        """`do` of each, as many at a time as there are processors; the answers in order."""
        return list(self.pool.map(do, what))

    def control(self) -> None:
        """Move runtimes that fail on the positive control to those that are not ready, with the reason."""
        weights = initial_weights(CONTROL, 0)
        path = self.folder / "control" / "model.onnx"
        path.parent.mkdir(parents=True, exist_ok=True)
        onnx.save(spec_onnx.write(CONTROL, weights, opset=13), path)
        x = np.random.default_rng(0).normal(size=(100, 4)).astype(np.float32)
        reference = of_task(CONTROL, weights, x)
        subject = Subject("control", "control", path, reference.save(self.folder / "control.npz"), reference)
        for name, reason in zip(self.ready, self.map(lambda name: self.fails_control(subject, name), self.ready)):
            if reason:
                self.failed[name] = f"its adapter fails on a file of one node: {reason}"

    def fails_control(self, subject: Subject, runtime: str) -> str | None:
        outcome, folder, outputs = self.run(subject, runtime)
        if outcome.state != "ok":
            return "{} at {}: {}".format(*verdict.failure(outcome, folder))
        try:
            return None if verdict.numbers_of(subject, outputs)["scaled"] < verdict.TOLERANCE else "its numbers are off"
        except verdict.Wrong as error:
            return str(error)

    def run(self, subject: Subject, runtime: str, fixed: bool = False) -> tuple[Outcome, Path, verdict.Outputs]:
        """One process: (how it ended, its folder, the outputs)."""
        chosen = self.runtimes[runtime]
        folder = self.folder / "cells" / f"{subject.key}-{runtime}{'-fixed' * fixed}"
        place = chosen.place(self.resources.device)
        with nullcontext() if place == "cpu" else self.card, self.processor() as cpu:
            job = {
                "model": str(subject.path.resolve()),
                "feeds": str(subject.feeds.resolve()),
                "module": chosen.module,
                "packages": chosen.facts["packages"],
                "device": place,
                "cpus": [cpu],
                "memory_bytes": MEMORY_BYTES,
                "fixed": fixed,
                "timed": TIMED,
                "time_s": TIME_S,
            }
            program = "crossframe.harness.worker.run_onnx"
            outcome = launch(self.ready[runtime].python, chosen, job, folder, self.resources.timeout_s, program)
        if outcome.state != "ok":
            return outcome, folder, {}
        with np.load(folder / "outputs.npz", allow_pickle=False) as stored:
            return outcome, folder, {name: stored[name] for name in stored.files}

    def header(self, subject: Subject, runtime: str) -> Record:
        provenance = subject.told.get("provenance") or {"opset": {}}
        return {
            "task": subject.name,
            "exporter": subject.exporter,
            "variant": subject.variant,
            "runtime": runtime,
            "opset": provenance["opset"].get("ai.onnx"),
            "sha256": provenance.get("sha256"),
        }

    def cell(self, subject: Subject, runtime: str) -> Record:
        """The record of one file in one runtime: as it is, and, where that does not run, made anew for each shape."""
        record = self.header(subject, runtime)
        if runtime in self.failed:
            return record | ended("not_installed", "import", self.failed[runtime])
        if subject.told["external"]["outside"]:
            places = ", ".join(subject.told["external"]["outside"])
            return record | ended("refused", "load", f"not handed over: its weights leave the folder: {places}")
        outcome, folder, outputs = self.run(subject, runtime)
        failed, why = verdict.failure(outcome, folder), None
        if outcome.state != "timeout" and not verdict.whole(outcome):
            why = failed[2] if outcome.state != "ok" else next(r for r in outcome.measures["sets"].values() if r)
            again = self.run(subject, runtime, fixed=True)
            if verdict.whole(again[0]):
                outcome, folder, outputs = again
            else:
                why = None
        if outcome.state != "ok":
            return record | ended(*failed, outcome)
        return record | verdict.examine(subject, outcome.measures, outputs, why) | measured(outcome)

    def matrix(self, subjects: list[Subject], names: list[str]) -> list[Record]:
        return self.map(lambda pair: self.cell(*pair), [(subject, name) for subject in subjects for name in names])


def ended(state: str, stage: str, reason: str, outcome: Outcome | None = None) -> Record:
    """What a cell that left no outputs says."""
    return {"state": state, "stage": stage, "reason": reason, "costs": [], "checks": {}} | measured(outcome)


def measured(outcome: Outcome | None) -> Record:
    """Figures of a cell: seconds of one thread on one processor, bytes of its process; null where there are none."""
    measures = outcome.measures if outcome else {}
    names = ("import_s", "load_s", "compile_s", "first_run_s", "host_baseline_bytes", "host_peak_bytes")
    samples = measures.get("infer_samples_s", {})
    return {
        "blame": None,
        "versions": measures.get("versions", {}),
        "facts": measures.get("facts", {}),
        "metrics": {name: measures.get(name) for name in names}
        | {
            f"{name}_{figure}_s": float(np.percentile(samples[name], share)) if samples.get(name) else None
            for name in TIMED
            for figure, share in (("p50", 50), ("p95", 95))
        },
    }
