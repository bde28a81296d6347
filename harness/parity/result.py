"""The result of verifying one cell."""

from __future__ import annotations

from dataclasses import dataclass, field

from crossframe.harness.parity.checks import Check
from crossframe.harness.records.model import Cell, DialectEffect, ParitySummary
from crossframe.harness.worker.states import State


@dataclass(frozen=True)
class ParityResult:
    """Whether a cell computes what the reference model computes; `ok` only if every check passed."""

    state: State
    reason: str | None
    hint: str | None = None
    dialect: dict[str, str | float] = field(default_factory=dict)  # as the module declares it
    modes: list[str] = field(default_factory=list)  # of the module; empty if it was not imported
    checks: list[Check] = field(default_factory=list)  # the worst of each probe and kind
    # Name of an optimizer -> its first failure in the probes of the optimizers; they withhold other cells too.
    failed_optimizers: dict[str, str] = field(default_factory=dict)
    # Name of an optimizer that the backend refuses and the task does not use -> the reason.
    missing_optimizers: dict[str, str] = field(default_factory=dict)

    def summarize(self, effect: DialectEffect | None) -> ParitySummary:
        """Return the part that a record keeps."""
        return ParitySummary(self.state, self.reason, self.hint, effect)


@dataclass(frozen=True)
class CellParity:
    """A cell with its result, and the effect of its dialect."""

    cell: Cell
    result: ParityResult
    effect: DialectEffect | None = None
