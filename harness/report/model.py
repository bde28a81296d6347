"""The types of a report, from which all formats and the page are made."""

from __future__ import annotations

from dataclasses import dataclass, field

from crossframe.harness.analysis.model import CellReport, FairnessRow, RankedComparison
from crossframe.harness.records.model import Host
from crossframe.harness.records.portability import RuntimeResult

FASTEST_MODES = "each framework in its fastest mode of a short trial"


@dataclass(frozen=True)
class RunSummary:
    """The run of the report, with its main options."""

    name: str
    created: str  # UTC, ISO 8601
    preset: str
    data: str | None  # None: the default of each task
    repeats: int
    threads: int
    best_modes: bool = False  # each framework in its fastest mode of a trial


@dataclass(frozen=True)
class TaskReport:
    """The properties of a task, and its baseline."""

    parameters: int
    baseline: dict[str, float] | None
    about: str | None  # the task in a sentence


@dataclass(frozen=True)
class LookedUpFact:
    """A fact about a framework that was looked up, not measured."""

    value: str
    note: str
    date: str
    source: str


@dataclass(frozen=True)
class Share:
    """A number of successes out of a total."""

    count: int
    total: int


@dataclass(frozen=True)
class MeasuredProfile:
    """The measured properties of a framework, from the run and the folder of its backend; None if not measured."""

    environment_bytes: float | None
    environment_install_s: float | None
    packages: int | None  # pinned in the environment
    import_s: tuple[float, float, float] | None  # median, smallest, largest over cells
    backend_lines: int | None  # of code
    modes: list[str]
    modes_not_measured: dict[str, str | None] | None  # mode -> why it can't run here, None if it can; None: unknown
    exports: Share | None  # exports that succeed
    runtimes: Share | None  # exported files that pass in a runtime
    dialect: dict[str, str | float]
    verified: Share | None  # cells that passed parity
    defects: list[str] = field(default_factory=list)  # found by parity


@dataclass(frozen=True)
class FrameworkProfile:
    """One framework of the run: measured properties and looked-up facts."""

    backend: str
    title: str
    installed: bool  # whether the backend is still known here
    measured: MeasuredProfile
    looked_up: dict[str, LookedUpFact | None]


@dataclass(frozen=True)
class Report:
    """The output of `crossframe report RUN --format json`."""

    schema: int
    run: RunSummary
    host: Host
    selftest: str | None  # the result of the last self-test on this machine
    tasks: dict[str, TaskReport]
    cells: list[CellReport]
    comparisons: list[RankedComparison]
    receipts: list[FairnessRow]
    profiles: list[FrameworkProfile]
    warnings: list[str]
    portability: list[RuntimeResult] | None = None  # None where `crossframe portability` did not run
