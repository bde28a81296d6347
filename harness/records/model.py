"""The types of everything that a run stores. The published schemas are generated from them.

Raw samples are stored; statistics are computed when they are read. Names contain the units: `_s` seconds, `_bytes`
bytes, `_j` joules. Values that were not measured are None, never 0.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Annotated, Any, Literal

from msgspec import Meta

from crossframe.harness.worker.measurements import TrainMeasurements
from crossframe.harness.worker.states import State

SCHEMA_VERSION: Literal[2] = 2

Amount = Annotated[float, Meta(ge=0)]
Count = Annotated[int, Meta(ge=0)]
Number = Annotated[int, Meta(ge=1)]  # from 1


@dataclass(frozen=True, order=True)
class Cell:
    """A task in one backend, mode, device, precision and batch size: the unit that is compared."""

    task: str
    backend: str
    mode: str
    device: str
    precision: str
    batch_size: Number

    @property
    def name(self) -> str:
        """The cell as a part of a file name."""
        return "-".join(str(part).replace(":", "") for part in asdict(self).values())

    @property
    def variant(self) -> str:
        """Backend and mode, which compete within a family."""
        return f"{self.backend} {self.mode}"

    @property
    def family(self) -> Family:
        """The family of the cell: the cells that it is compared with."""
        return Family(self.task, self.device, self.precision, self.batch_size)


CELL_KEYS = tuple(part.name for part in fields(Cell))


@dataclass(frozen=True, order=True)
class Family:
    """The cells of one task, device, precision and batch size, which do the same work."""

    task: str
    device: str
    precision: str
    batch_size: int


@dataclass(frozen=True)
class RunOptions:
    """The options of `crossframe run`, with their defaults."""

    task: list[str] = field(default_factory=list)  # empty: all
    scale: list[int] = field(default_factory=list)  # empty: 1
    backend: list[str] = field(default_factory=list)  # empty: all with builds
    mode: list[str] = field(default_factory=list)  # empty: the first of each backend
    device: str = "auto"
    precision: list[str] = field(default_factory=list)  # empty: float32
    batch_size: list[int] = field(default_factory=list)  # empty: that of the task
    preset: str = "standard"
    cpus: list[int] = field(default_factory=list)
    timeout_s: float = 900
    data: str | None = None
    data_dir: str | None = None
    python: dict[str, str] = field(default_factory=dict)  # backend -> interpreter
    repeats: int = 1
    time_budget_s: float | None = None
    seeds: int = 1
    parity: bool = True
    profile_operators: bool = False


@dataclass(frozen=True)
class GpuInfo:
    """An NVIDIA GPU, as its driver describes it."""

    name: str
    driver: str
    memory_bytes: int
    compute_capability: str


@dataclass(frozen=True)
class Host:
    """The machine of a run; None for properties that it does not report."""

    cpu: str | None
    processors: int | None
    affinity: list[int]
    governor: str | None
    memory_bytes: int | None
    kernel: str
    system: str | None
    python: str
    gpus: list[GpuInfo] = field(default_factory=list)


@dataclass(frozen=True)
class TaskInfo:
    """The properties of a task that a run stores beside its specification."""

    parameters: int
    baseline: dict[str, float] | None  # metric without training, such as the linear optimum


@dataclass(frozen=True)
class BackendInfo:
    """The properties of a backend that a run stores."""

    title: str
    uncompiled_mode: str | None


@dataclass(frozen=True)
class PlannedJob:
    """One process of a run: a cell, for the n-th time (from 1)."""

    cell: Cell
    repeat: int

    @property
    def name(self) -> str:
        """The name of the folder of the job."""
        return f"{self.cell.name}-{self.repeat}"


@dataclass(frozen=True)
class RunInfo:
    """`run.json`: the options of a run, its machine and its version of the code."""

    schema: Literal[2]
    name: str
    created: str  # UTC, ISO 8601
    crossframe: str
    commit: str | None
    options: RunOptions
    device: str
    host: Host
    selftest: str | None
    tasks: dict[str, TaskInfo]
    backends: dict[str, BackendInfo]
    jobs: list[PlannedJob]
    specs: dict[str, Any] = field(default_factory=dict)  # task -> its specification by `tasks.spec.to_json`


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

    quality: dict[str, float]
    first_epoch_gap: float  # largest difference of a weight from the reference model's after one epoch
    onnx: OnnxAgreement
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
