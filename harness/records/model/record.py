"""The results of a job: a line of `records.jsonl`, and the ceilings of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from msgspec import Meta

from crossframe.harness.records.model.cells import Cell
from crossframe.harness.records.model.numbers import Amount, Count, Number
from crossframe.harness.worker.measurements import TrainMeasurements
from crossframe.harness.worker.states import State


@dataclass(frozen=True)
class OnnxAgreement:
    """The exported file, and the agreement of its outputs in onnxruntime with those of the framework."""

    state: State
    reason: str | None
    export_s: float | None
    onnx_bytes: Count | None
    max_error: float | None


@dataclass(frozen=True)
class JobCheck:
    """One comparison of a measured job with the reference model, or of its times with each other."""

    name: str
    error: float
    tolerance: float
    passed: bool
    detail: str | None = None  # of a failure: a sentence with the parameter or the cause


@dataclass(frozen=True)
class Evaluation:
    """The values that the harness computed from the arrays of a worker."""

    quality: dict[str, float]  # empty if the training was not complete
    first_epoch_gap: float  # largest difference of a weight from the reference model's after one epoch
    onnx: OnnxAgreement | None  # None if the training was not complete
    checks: list[JobCheck] = field(default_factory=list)  # empty in older runs


@dataclass(frozen=True)
class DialectEffect:
    """The effect of a backend's dialect on a task: the final quality of the reference model with and without it."""

    words: dict[str, str | float]
    quality: str  # the metric
    spec: float | None  # None where it was not computed
    dialect: float | None


@dataclass(frozen=True)
class ParitySummary:
    """The verification of a cell against the reference model."""

    state: State
    reason: str | None
    hint: str | None
    effect: DialectEffect | None = None


@dataclass(frozen=True)
class Interference:
    """Other activity of the machine during a job: shares of the time of all processors, and counters."""

    other_programs_share: float | None
    steal_share: float | None
    swapped_pages: int | None
    throttlings: int | None


@dataclass(frozen=True)
class Roofline:
    """The least operations and bytes of a training step, and the ceilings of the device."""

    step_flops: Count
    step_bytes: Count
    ceiling_flops_per_s: float | None
    ceiling_bytes_per_s: float | None
    caveats: list[str] = field(default_factory=list)  # disturbances while the ceilings were measured


@dataclass(frozen=True)
class GpuSamples:
    """The samples of NVML during a job, ten per second."""

    device: str
    other_processes: Count  # the most processes of other programs on the GPU at a time
    samples: dict[str, list[float | None]]  # column -> values; `at_s` is the monotonic clock


@dataclass(frozen=True)
class ProcessSamples:
    """The processes of a job as its parent saw them: the worker and everything that it started.

    The peaks are those until the worker read its own, which is the claimed one.
    """

    processes: Count  # the most at a time
    claimed_peak_bytes: Count | None
    worker_peak_bytes: Count | None  # of the worker alone
    total_peak_bytes: Count | None  # of all processes, with the pages that they share counted once
    cpus: list[int]  # on which any of their threads could run at any time
    samples: Count
    cost_s: Amount  # processor time of taking the samples


@dataclass(frozen=True)
class EnvironmentCost:
    """The disk space and installation time of an environment; None if Crossframe did not make it."""

    bytes: Count | None
    install_s: float | None


@dataclass(frozen=True)
class Record:
    """The cost and the results of one job: one line of `records.jsonl`."""

    schema: Literal[2]
    job: Annotated[str, Meta(min_length=1)]
    repeat: Number
    cell: Cell
    state: State
    reason: str | None
    started: str | None  # UTC, ISO 8601; None in records of version 1, which kept the end alone
    ended: str
    wall_s: Amount  # of the whole process
    measurements: TrainMeasurements
    evaluation: Evaluation | None
    parity: ParitySummary | None  # None if parity was not checked
    environment: EnvironmentCost
    machine: Interference | None = None
    roofline: Roofline | None = None
    gpu: GpuSamples | None = None
    processes: ProcessSamples | None = None
    complete: bool = True  # or trained only as long as timing needs: no quality, no checkpoint, no export


@dataclass(frozen=True)
class CeilingResult:
    """The largest rates that one backend reached on the device of a run: an entry of `ceilings.json`."""

    backend: str
    mode: str
    device: str
    precision: str
    state: State
    reason: str | None
    flops_per_s: float | None
    bytes_per_s: float | None
    caveats: list[str] = field(default_factory=list)
