"""Tiers of cells by metric, and the cells that another round should measure.

Cells of one family are compared: those of the same task, device, precision and batch size. A cell is ranked if it
succeeded and was verified equal; otherwise its `tier_reason` says why not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from crossframe.harness.analysis import statistics
from crossframe.harness.analysis.metrics import METRICS, build_cell_reports
from crossframe.harness.analysis.model import CellReport, Metric, RankedComparison
from crossframe.harness.records.model import Cell, Family, Record
from crossframe.harness.worker.states import State
from crossframe.tasks.widen import split_name

# Metric -> the ratio within which two cells are equal for practical purposes. The repeats of a cell share weights and
# data, so their spread does not include the effect of rounding on the trajectory. By rounding alone, verified cells
# ended up to 1.2 % apart in accuracy and 8 % in mse. Therefore these two metrics have wider bands.
RANKED = {
    "step_s": 0.01,
    "train_samples_per_s": 0.01,
    "infer_latency_s": 0.01,
    "infer_samples_per_s": 0.01,
    "host_peak_bytes": 0.01,
    "time_to_target_s": 0.01,
    "first_step_s": 0.01,
    "onnx_bytes": 0.01,
    "accuracy": 0.05,
    "mse": 0.2,
}
# Metrics that depend on the learning rates and the target of a task, which a wider task keeps unchanged.
LEARNING_METRICS = ("accuracy", "mse", "time_to_target_s")
BUDGETED_METRICS = ("train_samples_per_s", "infer_latency_s")  # for which `next_round` uses up a time budget


def by_cell(records: Iterable[Record]) -> dict[Cell, list[Record]]:
    """Return cell -> its records, both in the order of the records."""
    groups: dict[Cell, list[Record]] = {}
    for record in records:
        groups.setdefault(record.cell, []).append(record)
    return groups


def group_by_family(reports: Iterable[CellReport]) -> dict[Family, list[CellReport]]:
    """Return family -> its cells, both in the order of the reports."""
    groups: dict[Family, list[CellReport]] = {}
    for report in reports:
        groups.setdefault(report.cell.family, []).append(report)
    return groups


def is_verified(report: CellReport) -> bool:
    """Return whether the parity of a cell was verified, and its measured jobs do not differ from that."""
    return report.parity is not None and report.parity.state == State.OK and report.deviation is None


def is_meaningful(report: CellReport, metric: str) -> bool:
    """Return whether a metric of a cell is meaningful: metrics of learning are not meaningful for a wider task."""
    return metric not in LEARNING_METRICS or split_name(report.task)[1] == 1


def describe_deviation(report: CellReport) -> str:
    """Return the sentence about a cell whose measured jobs differ from what was verified."""
    return f"the measured job differs from what was verified: {report.deviation}"


def explain_exclusion(report: CellReport, metric: str, rounds: statistics.Rounds, repeats: int) -> str | None:
    """Return why a cell is not ranked by a metric; None if it is ranked."""
    if report.state != State.OK:
        return f"the cell is {report.state}"
    if report.parity is None:
        return "not verified equal: parity was not checked"
    if report.parity.state != State.OK:
        return f"not verified equal: parity is {report.parity.state}"
    if report.deviation:
        return describe_deviation(report)
    if report.withheld:
        return f"resources were not equal: {report.withheld}"
    if not is_meaningful(report, metric):
        return "a wider task measures speed only: its rates and target are those of the original task"
    if not rounds:
        return str(report.metrics[metric].reason)
    if len(rounds) < repeats:
        return f"{repeats - len(rounds)} of {repeats} repeats have no value"
    return "a value is 0, so ratios are undefined" if min(rounds.values()) <= 0 else None


@dataclass(frozen=True)
class FamilyComparison:
    """The cells of one family that are compared by one metric."""

    metric: str
    rounds: dict[str, statistics.Rounds]  # by variant
    excluded: dict[str, str]  # variant -> why it is not compared

    @property
    def pairs(self) -> int:
        """The number of pairs of variants."""
        return len(self.rounds) * (len(self.rounds) - 1) // 2

    def compare(self) -> list[statistics.Comparison]:
        """Return the comparison of every pair."""
        return statistics.compare(self.rounds, METRICS[self.metric].better, RANKED[self.metric])

    def rank(self, comparisons: Sequence[statistics.Comparison]) -> dict[str, int | str]:
        """Return variant -> its tier, or why it has none."""
        if self.pairs == 0:
            return {**self.excluded, **dict.fromkeys(self.rounds, "no other cell to compare with")}
        fewest = statistics.fewest_rounds(self.pairs)
        enough = {name: rounds for name, rounds in self.rounds.items() if len(rounds) >= fewest}
        few = {
            name: f"not enough evidence: {len(rounds)} of at least {fewest} repeats"
            for name, rounds in self.rounds.items()
            if name not in enough
        }
        return {**self.excluded, **few, **statistics.tiers(enough, METRICS[self.metric].better, comparisons)}


def _compare_family(
    reports: Iterable[CellReport], records: Mapping[Cell, Sequence[Record]], metric: str
) -> FamilyComparison:
    """Return the cells of one family with their values of one metric, or why they are not compared."""
    rounds: dict[str, statistics.Rounds] = {}
    excluded = {}
    for report in reports:
        repeats = METRICS[metric].select(records[report.cell])
        read = METRICS[metric].read
        values = {
            record.repeat: value
            for record in repeats
            if record.state == State.OK and (value := read(record)) is not None
        }
        reason = explain_exclusion(report, metric, values, len(repeats))
        if reason is None:
            rounds[report.cell.variant] = values
        else:
            excluded[report.cell.variant] = reason
    return FamilyComparison(metric, rounds, excluded)


def rank(reports: Sequence[CellReport], records: Sequence[Record]) -> tuple[list[CellReport], list[RankedComparison]]:
    """Return the reports with the tier of every ranked metric, and the comparison of every pair of ranked cells."""
    groups = by_cell(records)
    tiers: dict[tuple[Cell, str], int | str] = {}
    comparisons: list[RankedComparison] = []
    for family, members in group_by_family(reports).items():
        for metric in RANKED:
            comparison = _compare_family(members, groups, metric)
            pairs = comparison.compare()
            by_variant = comparison.rank(pairs)
            tiers |= {(member.cell, metric): by_variant[member.cell.variant] for member in members}
            comparisons += [
                RankedComparison(
                    task=family.task,
                    device=family.device,
                    precision=family.precision,
                    batch_size=family.batch_size,
                    metric=metric,
                    **vars(pair),
                )
                for pair in pairs
            ]
    return [_add_tiers(report, tiers) for report in reports], comparisons


def _add_tiers(report: CellReport, tiers: Mapping[tuple[Cell, str], int | str]) -> CellReport:
    ranked = {name: _add_tier(report.metrics[name], tiers[report.cell, name]) for name in RANKED}
    return replace(report, metrics=report.metrics | ranked)


def _add_tier(metric: Metric, tier: int | str) -> Metric:
    return replace(metric, tier=tier) if isinstance(tier, int) else replace(metric, tier_reason=tier)


def next_round(records: Sequence[Record], left_s: float) -> list[Cell]:
    """Return the cells that one more round should measure in the remaining seconds; [] if it is time to stop.

    The rule: stop when every pair of ranked cells is settled in every metric of `BUDGETED_METRICS`, or the time is up.
    Settled means shown equal, or separated firmly enough for a test that is repeated after every round. The pairs that
    need the fewest more rounds come first, and pairs are added while the rounds that they need fit into the time.

    Give all cells of a round the same number, larger than any before: comparisons are paired by it.
    """
    groups = by_cell(records)
    wall_s = {cell: median(record.wall_s for record in repeats) for cell, repeats in groups.items()}
    chosen: dict[Cell, int] = {}
    for rounds, *pair in sorted(_list_open_pairs(groups, records)):
        more = chosen | {cell: max(rounds, chosen.get(cell, 0)) for cell in pair}
        if chosen and sum(wall_s[cell] * count for cell, count in more.items()) > left_s:
            break
        chosen = more
    # Even if no pair can be settled any more, a whole round of the chosen cells must still fit.
    if sum(wall_s[cell] for cell in chosen) > left_s:
        return []
    return [cell for cell in groups if cell in chosen]


def _list_open_pairs(
    groups: Mapping[Cell, Sequence[Record]], records: Sequence[Record]
) -> list[tuple[int, Cell, Cell]]:
    """Return (rounds that settle it, a, b) for each pair that is not settled."""
    pairs = []
    for members in group_by_family(build_cell_reports(records, {})).values():
        cells = {member.cell.variant: member.cell for member in members}
        for metric in BUDGETED_METRICS:
            for pair in _compare_family(members, groups, metric).compare():
                rounds = pair.more_runs or (1 if pair.separated and not pair.firm else 0)
                if rounds:
                    pairs.append((rounds, cells[pair.a], cells[pair.b]))
    return pairs
