"""The candidates of a decision: backends with their values, from records and looked-up facts.

A candidate competes with its fastest verified mode in each workload (task, device, precision, batch size). Its value
for a criterion is the mean over the workloads, in points (see `crossframe.harness.decision.criteria`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from statistics import fmean, median

import numpy as np

from crossframe.harness.analysis.metrics import METRICS, build_cell_reports
from crossframe.harness.analysis.model import CellReport
from crossframe.harness.analysis.ranking import by_cell, describe_deviation, group_by_family, is_meaningful, is_verified
from crossframe.harness.decision.criteria import LOOKED_UP, MEASURED, to_points
from crossframe.harness.decision.model import Candidate, Facts
from crossframe.harness.errors import UsageError
from crossframe.harness.records.model import Cell, Family, Record
from crossframe.harness.worker.states import State

DRAWS = 4000
CELL_REQUIREMENTS = ("exports", "device")


@lru_cache(128)  # many workloads share an answer: five rounds have 120 orders
def draw_middles(ordered: tuple[int, ...], last: int) -> np.ndarray:
    """Return (draws,) positions in `ordered`, rounds by ascending value: half of the weight lies below each."""
    below = np.cumsum(draw_round_weights(last)[list(ordered)], axis=0)
    middles: np.ndarray = np.sum(below < below[-1] / 2, axis=0)
    return middles


def draw_medians(by_round: Mapping[int, float], last: int) -> np.ndarray:
    """Return (draws,) medians of the values of rounds under drawn weights."""
    ordered = sorted(by_round, key=lambda number: by_round[number])
    values = np.array([by_round[number] for number in ordered])
    medians: np.ndarray = values[draw_middles(tuple(ordered), last)]
    return medians


@cache
def draw_round_weights(last: int) -> np.ndarray:
    """Return (last + 1, draws) exponential weights of rounds, Rubin's Bayesian bootstrap (1981) over processes.

    All candidates of a round share its weight, as they shared the state of the machine.
    """
    return np.random.default_rng(0).exponential(size=(last + 1, DRAWS))


def list_candidates(
    records: Sequence[Record],
    facts: Mapping[str, Facts],
    reports: Sequence[CellReport] | None = None,
    titles: Mapping[str, str] | None = None,
) -> list[Candidate]:
    """Return every backend of the run with its values, or excluded if it lacks a workload.

    `reports` are those of the records, if they are already built; `titles` are those that differ from the names.
    """
    if not records:
        return []
    reports = reports or build_cell_reports(records, {})
    groups = by_cell(records)
    workloads = group_by_family(reports)
    last = max(record.repeat for record in records)
    candidates = []
    for name in sorted({report.backend for report in reports}):
        cells, reason = _select_cells(name, workloads)
        known_facts, title = facts.get(name, {}), (titles or {}).get(name, name)
        if reason is not None:
            candidates.append(Candidate(name, title, known_facts, cells, excluded=reason))
            continue
        rounds = frozenset.intersection(
            *(frozenset(record.repeat for record in groups[report.cell]) for report in cells)
        )
        values = {**_measure(cells, groups, last, rounds), **_look_up(known_facts)}
        candidates.append(
            Candidate(
                name=name,
                title=title,
                facts=known_facts,
                cells=cells,
                rounds=rounds,
                points={criterion: value.points for criterion, value in values.items()},
                points_by_round={c: value.by_round for c, value in values.items() if value.by_round is not None},
                points_drawn={criterion: value.drawn for criterion, value in values.items()},
            )
        )
    return candidates


@dataclass(frozen=True)
class _Value:
    """A candidate's value for one criterion, in points."""

    points: float
    drawn: np.ndarray  # (draws,)
    by_round: dict[int, float] | None = None  # None for a looked-up criterion


def _select_cells(
    backend: str, workloads: Mapping[Family, Sequence[CellReport]]
) -> tuple[list[CellReport], str | None]:
    """Return the fastest verified cell of each workload, and why the backend lacks one of them; None if it has all."""
    cells, reason = [], None
    for family, members in workloads.items():
        candidates = [report for report in members if report.backend == backend]
        verified = [report for report in candidates if report.state == State.OK and is_verified(report)]
        if verified:
            cells.append(max(verified, key=_read_speed))
        elif reason is None:
            workload = f"{family.task} {family.device} {family.precision} {family.batch_size}"
            reason = f"{workload}: {_explain_absence(candidates)}"
    return cells, reason


def _read_speed(report: CellReport) -> float:
    return float(report.metrics["train_samples_per_s"].value or 0)


def _explain_absence(reports: Sequence[CellReport]) -> str:
    """Return why none of a backend's cells of a workload counts."""
    if not reports:
        return "not in this run"
    first = reports[0]
    if first.state != State.OK:
        return f"{first.state}: {first.reason}"
    if first.deviation:
        return describe_deviation(first)
    return f"not verified equal: {'parity was not checked' if first.parity is None else first.parity.reason}"


def _measure(
    cells: Iterable[CellReport], records: Mapping[Cell, Sequence[Record]], last: int, rounds: frozenset[int]
) -> dict[str, _Value]:
    """Return the values of the measured criteria, without those that a repeat of a workload lacks."""
    values = {}
    for name in MEASURED:
        workloads = [_read_points(name, records[report.cell]) for report in cells if is_meaningful(report, name)]
        if workloads and all(len(by_round) == len(repeats) for by_round, repeats in workloads):
            points = [by_round for by_round, _ in workloads]
            values[name] = _Value(
                points=fmean(median(by_round.values()) for by_round in points),
                drawn=np.mean([draw_medians(by_round, last) for by_round in points], axis=0),
                by_round={number: fmean(by_round[number] for by_round in points) for number in rounds},
            )
    return values


def _read_points(name: str, repeats: Sequence[Record]) -> tuple[dict[int, float], Sequence[Record]]:
    """Return round -> points of the repeats that have the metric, and all repeats.

    A repeat that did not train to the end has the median of those that did: it trained the same at the same quality.
    """
    metric = METRICS[name]
    values = {record.repeat: metric.read(record) for record in metric.select(repeats)}
    points = {number: to_points(name, value) for number, value in values.items() if value}
    if len(points) == len(values) > 0:
        middle = median(points.values())
        points = {record.repeat: points.get(record.repeat, middle) for record in repeats}
    return points, repeats


def _look_up(facts: Facts) -> dict[str, _Value]:
    """Return the values of the looked-up criteria: 1 or 0; unknown ones are random, the same for all candidates."""
    values = {}
    for index, name in enumerate(LOOKED_UP):
        fact = facts.get(name)
        if fact is not None and isinstance(fact.value, bool):
            values[name] = _Value(float(fact.value), np.full(DRAWS, float(fact.value)))
        else:
            values[name] = _Value(0.5, np.random.default_rng(index).random(DRAWS))
    return values


def explain_failure(candidate: Candidate, requirement: str) -> str | None:
    """Return why a candidate fails `exports`, `device=KIND`, `FACT` or `FACT=VALUE|VALUE`; None if it meets it."""
    name, separator, allowed = requirement.partition("=")
    if name == "exports":
        for report in candidate.cells:
            if report.onnx is not None and report.onnx.state != State.OK:
                return f"does not export {report.task} to ONNX: {report.onnx.reason}"
        return None
    if name == "device":
        kinds = {report.device.partition(":")[0] for report in candidate.cells}
        return None if kinds == {allowed} else f"was not run on {allowed}"
    value = candidate.read_fact(name)
    if value is None:
        return f"unknown whether {requirement}"
    met = str(value) in allowed.split("|") if separator else value is not False
    return None if met else f"{name} is {value}".replace("True", "yes").replace("False", "no")


def check_requirements(requirements: Iterable[str], facts: Mapping[str, Facts]) -> None:
    """Raise UsageError for a requirement that names neither a property of cells nor a fact."""
    names = dict.fromkeys(
        [*CELL_REQUIREMENTS, *LOOKED_UP, *(name for known_facts in facts.values() for name in known_facts)]
    )
    for requirement in requirements:
        name, separator, allowed = requirement.partition("=")
        if name not in names or (separator and not allowed) or (name == "device" and not allowed):
            raise UsageError(
                f"--require {requirement}: there are {', '.join(names)}; a value follows as licence=Apache-2.0"
            )
