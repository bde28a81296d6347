"""The jobs of workers: one class for each kind, stored as `job.json` in the folder of the job.

A job holds everything that its worker needs, so that it can be replayed by hand with one command.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

from crossframe.backends.contract import Precision
from crossframe.harness.worker.measurements import (
    CeilingMeasurements,
    ExportMeasurements,
    InferMeasurements,
    OnnxMeasurements,
    ProbeMeasurements,
    StepMeasurements,
    TrainMeasurements,
)
from crossframe.harness.worker.probes import Probe
from crossframe.tasks.spec import Task, from_json, to_json

M = TypeVar("M")  # the class of the measurements that a job leaves

WORKER = "crossframe.harness.worker"


@dataclass(frozen=True, kw_only=True)
class WorkerJob(Generic[M]):
    """A job of any kind; `M` is the class of its measurements."""

    PROGRAM: ClassVar[tuple[str, ...]]  # after `python -m`, before the folder of the job
    MEASUREMENTS: ClassVar[type]  # is M

    cpus: list[int]

    def to_json(self) -> dict[str, object]:
        """Return the job as plain JSON."""
        return {field.name: _to_plain(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Return the job that is stored in `folder`."""
        stored = json.loads((folder / "job.json").read_text())
        return cls(**{name: _DECODERS.get(name, _unchanged)(value) for name, value in stored.items()})


def _to_plain(value: Any) -> Any:
    if isinstance(value, Task):
        return to_json(value)
    if isinstance(value, Probe):
        return {field.name: _to_plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {name: _to_plain(item) for name, item in value.items()}
    return [_to_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _read_probe(stored: Any) -> Probe:
    tuples = {name: tuple(value) for name, value in stored.items() if isinstance(value, list)}
    return Probe(**{**stored, **tuples, "task": from_json(stored["task"])})


def _unchanged(value: Any) -> Any:
    return value


# Field -> how its plain JSON becomes the value again; the other fields hold plain JSON.
_DECODERS: dict[str, Callable[[Any], Any]] = {
    "task": from_json,
    "precision": Precision,
    "probes": lambda probes: [_read_probe(stored) for stored in probes],
    "exports": lambda exports: {variant: (opset, route) for variant, (opset, route) in exports.items()},
}


@dataclass(frozen=True, kw_only=True)
class BackendJob(WorkerJob[M]):
    """A job that runs a backend."""

    module: str  # of the backend
    packages: list[str]  # whose versions are recorded
    mode: str
    device: str
    precision: Precision


@dataclass(frozen=True, kw_only=True)
class TrainJob(BackendJob[TrainMeasurements]):
    """Train a task, measure it, save it, export it."""

    PROGRAM = (WORKER, "train")
    MEASUREMENTS = TrainMeasurements

    task: Task
    inputs: str  # path of the archive with data, initial weights and order of batches
    onnx_opset: int
    profile_operators: bool
    complete: bool = True  # or only as long as timing needs, without checkpoint and export


@dataclass(frozen=True, kw_only=True)
class ProbeJob(BackendJob[ProbeMeasurements]):
    """Run the parity probes of a task."""

    PROGRAM = (WORKER, "probe")
    MEASUREMENTS = ProbeMeasurements

    inputs: str  # path of the archive with the batches and weights of the probes
    probes: list[Probe]


@dataclass(frozen=True, kw_only=True)
class ResumeJob(BackendJob[ProbeMeasurements]):
    """Continue parity probes from their checkpoints."""

    PROGRAM = (WORKER, "resume")
    MEASUREMENTS = ProbeMeasurements

    inputs: str
    probes: list[Probe]  # all of the parity job, whose numbers name the checkpoints
    checkpoints: str  # path of the folder with the checkpoints


@dataclass(frozen=True, kw_only=True)
class InferJob(BackendJob[InferMeasurements]):
    """Measure inference alone."""

    PROGRAM = (WORKER, "infer")
    MEASUREMENTS = InferMeasurements

    task: Task
    inputs: str
    onnx_opset: int
    batch_sizes: list[int]


@dataclass(frozen=True, kw_only=True)
class TimeStepsJob(BackendJob[StepMeasurements]):
    """Measure training steps alone."""

    PROGRAM = (WORKER, "time_steps")
    MEASUREMENTS = StepMeasurements

    task: Task
    inputs: str
    ceiling: bool  # whether to measure the ceiling of the device too


@dataclass(frozen=True, kw_only=True)
class CeilingJob(BackendJob[CeilingMeasurements]):
    """Measure the most that the device can do."""

    PROGRAM = (WORKER, "ceiling")
    MEASUREMENTS = CeilingMeasurements


@dataclass(frozen=True, kw_only=True)
class ExportOnnxJob(BackendJob[ExportMeasurements]):
    """Export a trained network again, at each opset and by each route."""

    PROGRAM = (WORKER, "export_onnx")
    MEASUREMENTS = ExportMeasurements

    task: Task
    outputs: str  # path of the archive with the trained weights
    feeds: str  # path of the archive with the sets of inputs
    timed: list[str]  # sets of inputs on which the inference of the framework is timed
    time_s: float  # how long to time each set
    exports: dict[str, tuple[int, str | None]]  # variant -> (opset, route of the exporter)


@dataclass(frozen=True, kw_only=True)
class RunOnnxJob(WorkerJob[OnnxMeasurements]):
    """Run one ONNX file in one runtime."""

    PROGRAM = (WORKER, "run_onnx")
    MEASUREMENTS = OnnxMeasurements

    module: str  # of the runtime
    packages: list[str]
    model: str  # path of the ONNX file
    feeds: str
    device: str
    memory_bytes: int  # of address space, on the CPU
    fixed: bool  # make the session anew for each shape
    timed: dict[str, list[str]]  # name -> sets of inputs that the timed calls take in turn
    time_s: float
