"""The options of a run, its machine, tasks and backends: `run.json`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from crossframe.harness.records.model.cells import Cell, PlannedJob


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
    repeats: int | None = None  # None: as many as the preset needs; stored runs have a number
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
class ModeTrial:
    """The trial of a mode, from which `--mode best` chooses."""

    cell: Cell
    step_s: float | None  # median of pipelined steps; None if the trial failed
    reason: str | None


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
    trials: list[ModeTrial] = field(default_factory=list)  # empty without `--mode best`
