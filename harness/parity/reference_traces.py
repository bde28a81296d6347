"""TODO: say what this module is."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

import crossframe.backends.reference.model as reference
from crossframe.harness.parity import dialects
from crossframe.harness.parity.low_precision import ROUNDING, Rounded
from crossframe.harness.parity.near_ties import Contrary
from crossframe.harness.parity.probe_design import pooled
from crossframe.harness.parity.probe_set import Question, ask
from crossframe.harness.parity.reference_cache import keep_first_epoch
from crossframe.harness.plan.inputs import inputs_of
from crossframe.harness.plan.plan import Cell, Plan, task_of
from crossframe.harness.worker.probes import EPOCH, Probe, trace
from crossframe.tasks import discover as discover_tasks
from crossframe.tasks.spec import Arrays


def oracle_trace(
    probe: Probe,
    weights: Arrays,
    batches: Arrays,
    dialect: Mapping[str, Any],
    precision: str = "float64",
    contrary: bool = True,
) -> Arrays:
    """What the oracle leaves of a probe, in its dialect; below float64, as far astray as rounding may lead it.

    `contrary`: near ties decided the other way, below float32.
    """
    if precision in ROUNDING:
        return trace(probe, Rounded(probe.task, weights, precision, dialect, contrary), batches)
    kind = Contrary if precision == "float32" else reference.Model
    return trace(probe, kind(probe.task, weights, np.dtype(precision), dialect), batches)


class Oracle:
    """The oracle's traces, worked out once for each probe, dialect and precision."""

    def __init__(self, question: Question):
        self.question = question
        self.batches = question.arrays()
        self.weights = {
            name.removeprefix("weights/"): value for name, value in self.batches.items() if name.startswith("weights/")
        }
        self.lock = Lock()
        self.working: dict[tuple[str, str, str, bool], Lock] = {}
        self.known: dict[tuple[str, str, str, bool], Arrays] = {}
        self.scales: dict[str, Mapping[str, Any]] = {}

    def trace(
        self, probe: Probe, dialect: Mapping[str, Any], precision: str = "float64", contrary: bool = True
    ) -> Arrays:
        dialect = dialects.relevant(probe.task, dialect) if probe.weights_after else {}
        key = (probe.name, json.dumps(dialect), precision, contrary)
        with self.lock:
            working = self.working.setdefault(key, Lock())
        with working:
            if key not in self.known:
                self.known[key] = oracle_trace(probe, self.weights, self.batches, dialect, precision, contrary)
                if (probe.name, precision) == (EPOCH, "float64") and not pooled(probe.task):
                    # Unless the probe's data has a grain, this is what the judge will ask for: not twice.
                    last = f"weights/{probe.weights_after[-1]}/"
                    weights = {name: self.known[key][last + name] for name in self.weights}
                    keep_first_epoch(probe.task, self.question.inputs, dialect, weights)
            return self.known[key]

    def scale(self, probe: Probe, dialect: Mapping[str, Any], precision: str = "float32") -> tuple[Arrays, ...]:
        """(`precision`, float64): what rounding does to a probe. For a scale, the first dialect that comes will do.

        Below float32 in two ways: near ties decided the other way, and as they fall.
        """
        with self.lock:
            dialect = self.scales.setdefault(probe.name, dialect)
        ways = (True,) if precision == "float32" else (True, False)
        return *(self.trace(probe, dialect, precision, contrary) for contrary in ways), self.trace(probe, dialect)


def oracles(plan: Plan, folder: Path, cells: list[Cell], seed: int = 0) -> dict[tuple[str, int], Oracle]:
    """(task, batch size) -> its oracle. The smallest task of all is asked about every optimizer."""
    known = [presets["standard"] for presets in discover_tasks().values()]
    smallest = min(known, key=lambda task: sum(map(math.prod, task.parameters().values())))
    found: dict[tuple[str, int], Oracle] = {}
    for cell in cells:
        key = cell.task, cell.batch_size
        if key not in found:
            inputs, whole = inputs_of(folder, cell, seed), cell.task == smallest.name
            question = ask(task_of(plan, cell), inputs, folder / "jobs", whole, seed)
            found[key] = Oracle(question)
    return found
