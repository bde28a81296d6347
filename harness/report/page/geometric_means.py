"""Geometric means of training speed over workloads, with intervals over rounds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from crossframe.harness.analysis.metrics import METRICS
from crossframe.harness.analysis.model import Metric
from crossframe.harness.analysis.statistics import interval
from crossframe.harness.records.model import Cell, Record
from crossframe.harness.report.answer import SPEED
from crossframe.harness.worker.states import State

Speeds = Mapping[Cell, Mapping[int, float]]  # cell -> round -> samples per second
Pair = tuple[Cell, Cell]  # a cell, and the fastest of its family


def read_speeds(records: Iterable[Record]) -> Speeds:
    """Return the speed of each process that succeeded."""
    speeds: dict[Cell, dict[int, float]] = {}
    for record in records:
        value = METRICS[SPEED].read(record) if record.state == State.OK else None
        if value:
            speeds.setdefault(record.cell, {})[record.repeat] = value
    return speeds


def mean_over_workloads(pairs: Sequence[Pair], speeds: Speeds) -> Metric | None:
    """Return the geometric mean over workloads of the ratio to the fastest: its median and interval over rounds.

    None if the cells have no round in common.
    """
    sides = [(speeds.get(cell, {}), speeds.get(fastest, {})) for cell, fastest in pairs]
    rounds = sorted(set.intersection(*({*slow} & {*fast} for slow, fast in sides))) if sides else []
    means = [
        math.exp(sum(math.log(slow[number] / fast[number]) for slow, fast in sides) / len(sides)) for number in rounds
    ]
    return interval(means) if means else None
