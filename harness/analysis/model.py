"""The types of the numbers in a report. They are built from the records once and not changed afterwards."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from crossframe.backends.contract import FrameworkSettings
from crossframe.harness.records.model import Cell, ParitySummary
from crossframe.harness.worker.measurements import OperatorProfile
from crossframe.harness.worker.states import State


@dataclass(frozen=True)
class Metric:
    """The median over processes with its 95 % interval, or the reason why there is no value."""

    value: float | None
    low: float | None = None  # None for one process
    high: float | None = None
    n: int = 0  # processes
    reason: str | None = None  # for the absence of a value
    tier: int | None = None  # of a ranked metric: cells of one tier are not separated from its best
    tier_reason: str | None = None  # for the absence of a tier of a ranked metric


@dataclass(frozen=True)
class OnnxState:
    """The state of the ONNX export of a cell."""

    state: State
    reason: str | None


@dataclass(frozen=True)
class CellReport:
    """One cell with its metrics, from the records of all its repeats."""

    task: str
    backend: str
    mode: str
    device: str
    precision: str
    batch_size: int
    state: State  # `ok` only if every repeat is
    reason: str | None
    parity: ParitySummary | None
    withheld: str | None  # why no cell of the run is ranked
    deviation: str | None  # the checks of its measured jobs that failed
    onnx: OnnxState | None
    versions: dict[str, str]
    dialect: dict[str, str | float]
    operators: OperatorProfile | None
    gpu_memory: str | None
    metrics: dict[str, Metric]

    @cached_property
    def cell(self) -> Cell:
        """The cell of the report."""
        return Cell(self.task, self.backend, self.mode, self.device, self.precision, self.batch_size)


@dataclass(frozen=True)
class RankedComparison:
    """Two cells of a family by one metric; `a` has the better median."""

    task: str
    device: str
    precision: str
    batch_size: int
    metric: str
    a: str  # variant: backend and mode
    b: str
    ratio: float  # median over shared rounds of a's value over b's
    low: float | None  # of the 95 % interval; None for one round
    high: float | None
    p: float  # of a permutation test, adjusted for the pairs of the family by Holm
    separated: bool  # p < 0.05, and the interval leaves out 1
    more_runs: int | None  # estimated number of further rounds to separate or equate the pair; None: not needed
    rounds: int


@dataclass(frozen=True)
class FairnessRow:
    """The resources and settings of the processes of one backend, mode and precision."""

    backend: str
    mode: str
    precision: str
    cpus: list[int]
    thread_pools: dict[str, str | None]
    settings: FrameworkSettings
    busy_threads: int
    cpu_per_wall: float
    same_in_all_jobs: bool
    jobs: int
    processes: int
    libraries: dict[str, str] = field(default_factory=dict)
