"""Traces of the reference model: what a backend must compute, and what rounding may change in it."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, replace
from functools import partial
from threading import Lock

import numpy as np

import crossframe.backends.reference.model as reference
from crossframe.backends.contract import Dialect
from crossframe.harness.parity.checks import ExpectedTraces
from crossframe.harness.parity.dialects import dialect_for, dialect_for_outputs
from crossframe.harness.parity.low_precision import ROUNDING, LowPrecisionModel
from crossframe.harness.parity.near_ties import CloseTieModel, NearTieModel
from crossframe.harness.parity.probe_set import ProbeSet
from crossframe.harness.parity.reference_cache import store_training, training_path
from crossframe.harness.worker.probes import EPOCH, ChangeCall, Probe, select_start, trace
from crossframe.harness.worker.trainings import FIRST_EPOCH
from crossframe.tasks.spec import Arrays, Task


@dataclass(frozen=True)
class Arithmetic:
    """The arithmetic of the reference model."""

    precision: str = "float64"
    flip_near_ties: bool = True  # below float32; in float32 near ties are always decided the other way
    short: bool = False  # a training so short that errors stay small, and only the closest ties are decided by them


EXACT = Arithmetic()


def build_model(task: Task, weights: Arrays, dialect: Dialect, arithmetic: Arithmetic = EXACT) -> reference.Model:
    """Return the reference model, below float64 with the errors that rounding may cause.

    See `crossframe.harness.parity.low_precision` and `crossframe.harness.parity.near_ties`.
    """
    precision = arithmetic.precision
    if precision in ROUNDING:
        return LowPrecisionModel(task, weights, precision, dialect, arithmetic.flip_near_ties)
    kinds = {"float32": CloseTieModel if arithmetic.short else NearTieModel}
    return kinds.get(precision, reference.Model)(task, weights, np.dtype(precision), dialect)


def compute_trace(  # noqa: PLR0913  # a probe, where it starts, and how it is computed
    probe: Probe,
    weights: Arrays,
    batches: Arrays,
    dialect: Dialect,
    arithmetic: Arithmetic = EXACT,
    change_call: ChangeCall | None = None,
) -> Arrays:
    """Return the trace of a probe in the reference model; see `build_model`.

    `change_call` makes a mistake in the calls of `train` on purpose.
    """
    model = build_model(probe.task, weights, dialect, arithmetic)
    # Inputs that repeat the rows of a smaller array need not be computed again and again.
    repeated = {
        f"outputs/{name}": model.predict(batches[f"{name}/x"])[batches[f"{name}/rows"]] for name in probe.inputs
    }
    return trace(replace(probe, inputs=()), model, batches, change_call=change_call) | repeated


class ReferenceTraces:
    """The traces of the reference model for one set of probes, each computed once; safe to use from several threads."""

    def __init__(self, probe_set: ProbeSet) -> None:
        self.probe_set = probe_set
        self.batches = probe_set.read_arrays()
        self._lock = Lock()
        self._trace_locks: defaultdict[tuple[str, str, Arithmetic], Lock] = defaultdict(Lock)
        self._traces: dict[tuple[str, str, Arithmetic], Arrays] = {}
        self._rounding_dialects: dict[str, Dialect] = {}  # name of a probe -> dialect

    def start(self, probe: Probe) -> Arrays:
        """Return the initial weights of a probe."""
        return select_start(self.batches, probe)

    def trace(self, probe: Probe, dialect: Dialect, arithmetic: Arithmetic = EXACT) -> Arrays:
        """Return the trace of a probe."""
        dialect = (dialect_for if probe.weights_after else dialect_for_outputs)(probe.task, dialect)
        key = (probe.name, json.dumps(dialect), arithmetic)
        with self._lock:
            trace_lock = self._trace_locks[key]
        with trace_lock:
            if key not in self._traces:
                traces = compute_trace(probe, self.start(probe), self.batches, dialect, arithmetic)
                self._traces[key] = traces
                # Evaluation needs the first epoch too, where the probe has the data and the rate of the task.
                complete = self.probe_set.epoch_steps in probe.weights_after
                if (probe.name, arithmetic) == (EPOCH, EXACT) and probe.task == self.probe_set.task and complete:
                    path = training_path(probe.task, self.probe_set.inputs, dialect, FIRST_EPOCH)
                    store_training(path, traces, self.start(probe), [self.probe_set.epoch_steps])
            return self._traces[key]

    def rounding_pairs(self, probe: Probe, dialect: Dialect, precision: str) -> tuple[tuple[Arrays, Arrays], ...]:
        """Return pairs (trace in `precision`, exact trace), whose differences are the cost of rounding.

        There are two below float32, with near ties decided the other way and as they fall; none in float64. Over an
        epoch the cost hardly depends on the dialect, so the first dialect serves for all.
        """
        if precision == "float64":
            return ()
        if probe.name == EPOCH:
            with self._lock:
                dialect = self._rounding_dialects.setdefault(probe.name, dialect)
        exact = self.trace(probe, dialect)
        flips = (True,) if precision == "float32" else (True, False)
        return tuple((self.trace(probe, dialect, Arithmetic(precision, flip, short=True)), exact) for flip in flips)

    def expect(self, probe: Probe, dialect: Dialect, precision: str) -> ExpectedTraces:
        """Return what a backend must compute for a probe, in its dialect and precision."""
        weights = self.start(probe)
        rounding = partial(self.rounding_pairs, probe, dialect, precision)
        return ExpectedTraces(probe, precision, self.trace(probe, dialect), rounding, weights, self.batches)
