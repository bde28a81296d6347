"""The types of a comparison of two runs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from crossframe.harness.records.model import Cell

SAME, NOT_ENOUGH_EVIDENCE = "same", "not enough evidence"
NOT_VERIFIED = "not verified equal"


@dataclass(frozen=True)
class RunName:
    """One of the two runs."""

    name: str
    created: str  # UTC, ISO 8601


@dataclass(frozen=True)
class SettingChange:
    """A part of the setting that differs, such as `host.kernel`; its values as JSON, None if a run does not have it."""

    setting: str
    a: str | None
    b: str | None


@dataclass(frozen=True)
class StateChange:
    """A cell whose state differs."""

    cell: Cell
    a: str
    b: str
    reason: str | None


@dataclass(frozen=True)
class MetricChange:
    """One metric of one cell in both runs, b against a."""

    cell: Cell
    metric: str
    a: float  # median
    b: float
    ratio: float  # b divided by a
    low: float | None  # of the 95 % interval; None for one process
    high: float | None
    p: float  # adjusted for the cells by Holm
    p_worse: float  # one-sided, adjusted for all metrics of all cells; a gate requires it
    n_a: int  # processes
    n_b: int
    change: str  # such as "faster", or `SAME` or `NOT_ENOUGH_EVIDENCE`
    worse: bool

    @property
    def is_known(self) -> bool:
        """Whether it changed beyond the noise."""
        return self.change not in (SAME, NOT_ENOUGH_EVIDENCE)


@dataclass(frozen=True)
class ExcludedCell:
    """A cell that is not compared."""

    cell: Cell
    reason: str


class RegressionKind(StrEnum):
    """What a run lost against an earlier one."""

    GONE = "cell"
    STATE = "state"
    PARITY = "parity"
    EXPORT = "export"
    TARGET = "target"
    QUALITY = "quality"
    GAP = "first_epoch_gap"
    MISSING = "missing metric"
    SLOW_REPEATS = "slow repeats"


@dataclass(frozen=True)
class Regression:
    """What a cell of b lost, beside metrics that became worse."""

    cell: Cell
    kind: RegressionKind
    detail: str
    loss: float | None = None  # relative, where a tolerance applies


@dataclass(frozen=True)
class RunComparison:
    """The output of `crossframe compare RUN_A RUN_B --format json`."""

    schema: Literal[2]
    a: RunName
    b: RunName
    settings: list[SettingChange]
    states: list[StateChange]
    regressions: list[Regression]
    metrics: list[MetricChange]
    excluded: list[ExcludedCell]
    titles: dict[str, str]  # backend -> framework
    warnings: list[str]
