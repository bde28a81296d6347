"""The dialects of all frameworks as one table, with their effect on each task where it was computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from crossframe.harness.analysis.model import CellReport
from crossframe.harness.records.model import DialectEffect


@dataclass(frozen=True)
class DialectRow:
    """A detail that a framework computes differently on a task."""

    backend: str
    task: str
    settings: str
    effect: str  # on the held-out quality; empty if it was not computed


def list_dialects(cells: Sequence[CellReport]) -> list[DialectRow]:
    """Return a row for each framework and task whose computation a dialect changes."""
    rows = {}
    for cell in cells:
        if cell.parity and cell.parity.effect:
            effect = cell.parity.effect
            settings = ", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in effect.words.items())
            row = DialectRow(cell.backend, cell.task, settings.replace("_", " "), describe_change(effect))
            rows[cell.backend, cell.task, settings] = row
    return list(rows.values())


def describe_change(effect: DialectEffect) -> str:
    """Return the change of the quality of the fully trained reference model; empty if it was not computed."""
    if effect.spec is None or effect.dialect is None:
        return ""
    change = effect.dialect - effect.spec
    return f"{effect.quality} {effect.dialect:.4g} instead of {effect.spec:.4g}, a change of {change:+.1e}"
