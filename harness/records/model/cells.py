"""Cells, families and jobs: what a run measures, and what is compared."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

from crossframe.harness.records.model.numbers import Number


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
class PlannedJob:
    """One process of a run: a cell, for the n-th time (from 1)."""

    cell: Cell
    repeat: int

    @property
    def name(self) -> str:
        """The name of the folder of the job."""
        return f"{self.cell.name}-{self.repeat}"
