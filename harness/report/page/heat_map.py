"""The heat map of the first screen: training speed of each variant on each workload, relative to the fastest."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from crossframe.harness.analysis.labels import ABSENT
from crossframe.harness.analysis.model import CellReport
from crossframe.harness.records.model import Family
from crossframe.harness.report.answer import SPEED, list_leaders
from crossframe.harness.report.page.geometric_means import Pair, Speeds, mean_over_workloads
from crossframe.harness.report.ratios import Ratio, Ratios, decimals_for, format_number, has_width

MOST_COLUMNS = 8  # workloads with a column each; above that, a column is the geometric mean over those of a task
MOST_ROWS_WITH_NOTES = 6
SLOWEST = 0.1  # ratio at which the colour ends


class Place(StrEnum):
    """The place of a variant on a workload."""

    FIRST = "fastest"
    TIE = "tie"  # in the first tier with others
    BEHIND = "behind"
    OPEN = "not ranked"
    MISSING = "no value"


@dataclass(frozen=True)
class HeatCell:
    """A variant on one workload, or its mean over several."""

    text: str
    note: str
    place: Place
    reason: str = ""  # for a missing rank or value
    ratio: float | None = None  # to the fastest; None without a value
    pair: Pair | None = None  # the cell and the fastest of its family

    @property
    def title(self) -> str:
        """The note and the reason, for hovering."""
        return "; ".join(filter(None, [self.note, self.reason]))

    @property
    def heat(self) -> int:
        """The strength of the colour from 0 to 10, on a logarithmic scale."""
        return 0 if self.ratio is None else round(10 * max(0.0, 1 - math.log(self.ratio, SLOWEST)))


@dataclass(frozen=True)
class HeatRow:
    """A variant."""

    backend: str
    variant: str
    cells: list[HeatCell]
    mean: HeatCell


@dataclass(frozen=True)
class HeatMap:
    """The heat map; its rows are ordered by their geometric means."""

    columns: list[str]
    rows: list[HeatRow]
    is_mean: bool  # whether a column is the mean over several workloads

    @property
    def is_dense(self) -> bool:
        """Whether the notes are shown on hover only, so that all rows fit on the first screen."""
        return len(self.rows) > MOST_ROWS_WITH_NOTES


def build_heat_map(
    families: Mapping[Family, Sequence[CellReport]], labels: Mapping[Family, str], ratios: Ratios, speeds: Speeds
) -> HeatMap:
    """Return the heat map of all variants of a run."""
    cells = [cell for members in families.values() for cell in members]
    leaders = list_leaders(cells)
    grid = {
        (cell.cell.variant, family): build_cell(cell, find_fastest(members), leaders[family], ratios)
        for family, members in families.items()
        for cell in members
    }
    is_mean = len(families) > MOST_COLUMNS
    groups: dict[str, list[Family]] = {}
    for family in families:
        groups.setdefault(family.task if is_mean else labels[family], []).append(family)
    rows = []
    for variant, backend in {cell.cell.variant: cell.backend for cell in cells}.items():
        across = {column: {family: grid.get((variant, family)) for family in group} for column, group in groups.items()}
        columns = [average(group, speeds) if is_mean else next(iter(group.values())) for group in across.values()]
        missing = HeatCell(ABSENT, "", Place.MISSING, "not in this run")
        mean = average({family: cell for group in across.values() for family, cell in group.items()}, speeds)
        rows.append(HeatRow(backend, variant, [cell or missing for cell in columns], mean))
    rows.sort(key=lambda row: -(row.mean.ratio or 0.0))
    return HeatMap(list(groups), rows, is_mean)


def find_fastest(members: Sequence[CellReport]) -> CellReport | None:
    """Return the cell of a family with the highest speed: of the first tier if there is one, else of all."""
    measured = [cell for cell in members if cell.metrics[SPEED].value]
    ranked = [cell for cell in measured if cell.metrics[SPEED].tier == 1]
    return max(ranked or measured, key=lambda cell: cell.metrics[SPEED].value or 0.0, default=None)


def build_cell(cell: CellReport, fastest: CellReport | None, leaders: Sequence[str], ratios: Ratios) -> HeatCell:
    """Return the entry of one cell of the run."""
    metric = cell.metrics[SPEED]
    if metric.value is None or fastest is None:
        return HeatCell("✗", str(cell.state), Place.MISSING, cell.reason or metric.reason or "")
    variant = cell.cell.variant
    compared = ratios.find(cell.cell.family, SPEED, variant, fastest.cell.variant)
    ratio = compared or Ratio(metric.value / (fastest.metrics[SPEED].value or metric.value))
    if variant in leaders:
        place = Place.FIRST if len(leaders) == 1 else Place.TIE
    else:
        place = Place.BEHIND if metric.tier else Place.OPEN
    text = "1" if cell is fastest else format_number(ratio.value, count_decimals(ratio.value))
    note = " ".join(filter(None, [str(place) if place != Place.BEHIND else "", describe_ends(ratio)]))
    return HeatCell(text, note, place, metric.tier_reason or "", ratio.value, (cell.cell, fastest.cell))


def describe_ends(ratio: Ratio) -> str:
    """Return the interval of a ratio as `0.41 to 0.47`, with as many decimals as the ratio; empty if there is none."""
    if ratio.low is None or ratio.high is None or not has_width(ratio.low, ratio.high):
        return ""
    decimals = count_decimals(ratio.value)
    return f"{format_number(ratio.low, decimals)} to {format_number(ratio.high, decimals)}"


def count_decimals(ratio: float) -> int:
    """Return two decimals, or more for ratios that these would round to one digit."""
    return 2 if ratio >= 0.095 else decimals_for(ratio, None, None) - 1


def average(cells: Mapping[Family, HeatCell | None], speeds: Speeds) -> HeatCell:
    """Return the geometric mean of a variant over workloads; without one if it lacks a value on any of them."""
    pairs = [cell.pair for cell in cells.values() if cell and cell.pair]
    mean = mean_over_workloads(pairs, speeds) if len(pairs) == len(cells) else None
    if mean is None or mean.value is None:
        return HeatCell(ABSENT, f"{len(pairs)} of {len(cells)}", Place.MISSING, "a workload has no value")
    places = [cell.place for cell in cells.values() if cell]
    first = f"first in {sum(place in (Place.FIRST, Place.TIE) for place in places)} of {len(cells)}"
    is_open = Place.OPEN in places
    return HeatCell(
        format_number(mean.value, count_decimals(mean.value)),
        describe_ends(Ratio(mean.value, mean.low, mean.high)) or ("" if is_open else first),
        Place.OPEN if is_open else Place.BEHIND,
        "a workload is not ranked" if is_open else first,
        mean.value,
    )
