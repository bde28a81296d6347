"""What the reference model computes for the trainings of a measured job, and what rounding may change in it.

Everything that takes long is stored in the cache folder, under everything that it depends on. The model uses one
thread: on a busy machine the threads of a matrix product wait for each other far longer than they compute.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from crossframe.backends.contract import Dialect
from crossframe.harness.files import digest, write_atomically
from crossframe.harness.machine.cache import read_cached, read_cached_arrays
from crossframe.harness.parity import low_precision, near_ties
from crossframe.harness.parity.checks import weight_errors
from crossframe.harness.parity.dialects import dialect_for
from crossframe.harness.parity.low_precision import ROUNDING
from crossframe.harness.parity.reference_cache import store_training, training_path
from crossframe.harness.parity.reference_traces import EXACT, Arithmetic, build_model
from crossframe.harness.worker.backend_model import copy_arrays
from crossframe.harness.worker.trainings import NEW_SAMPLES, draw_factors, list_trainings, list_updates, scale_samples
from crossframe.tasks.spec import Arrays, Task

ROUNDING_CODE = (Path(low_precision.__file__), Path(near_ties.__file__))  # that the cost of rounding depends on
FORWARD_CHUNK = 64  # samples; more of them leave the caches of the processor


@dataclass(frozen=True)
class JobReference:
    """The reference model for the measured jobs of one task with the same inputs, dialect and precision."""

    task: Task
    inputs: Path  # archive with data, initial weights and order of batches
    dialect: Dialect
    precision: str

    @cached_property
    def data(self) -> Arrays:
        """The arrays of the inputs."""
        with np.load(self.inputs, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}

    @cached_property
    def start(self) -> Arrays:
        """The initial weights and buffers."""
        return {name: self.data[f"weights/{name}"] for name in self.task.arrays()}

    def expect_weights(self, training: str) -> Arrays:
        """Return `weights/<updates>/<name>` of a training, as `crossframe.harness.parity.checks` compares them.

        Beside the weights that are compared, each parameter is there when it was furthest from its start.
        """
        settings = dialect_for(self.task, self.dialect)
        path = training_path(self.task, self.inputs, settings, training)
        stored = read_cached_arrays(path)
        if stored is not None:
            return stored
        traces = self._train(training, settings, EXACT)
        return store_training(path, traces, self.start, list_updates(training, self.data["order"]))

    def expect_new_samples(self, rows: np.ndarray, factors: np.ndarray) -> Arrays:
        """Return the weights after batches of `rows` (updates, samples) with drawn `factors`, as `expect_weights`.

        They were never seen before, so they are computed. The effect of rounding is that of fixed factors.
        """
        settings = dialect_for(self.task, self.dialect)
        return self._train_on(rows, factors, {len(rows)}, settings, EXACT)

    def expect_rounding(self, training: str, updates: int) -> float | None:
        """Return the error of the weights after so many updates that rounding causes in the reference model.

        It hardly depends on the dialect, so it is that of the specification. None in float64, or if it is not finite.
        """
        if self.precision == "float64":
            return None
        code = digest(*ROUNDING_CODE)[:8]
        path = training_path(self.task, self.inputs, {}, training).with_suffix(f".{self.precision}-{code}.json")
        costs = read_cached(path, dict[str, float | None])
        if costs is None or str(updates) not in costs:
            costs = self._compute_rounding(training)
            write_atomically(path, json.dumps(costs))
        return costs[str(updates)]

    def _compute_rounding(self, training: str) -> dict[str, float | None]:
        exact = self._train(training, {}, EXACT)
        flips = (True,) if self.precision == "float32" else (True, False)
        low = [self._train(training, {}, Arithmetic(self.precision, flip)) for flip in flips]
        compared = list_updates(training, self.data["order"])
        return {str(updates): self._largest_error(low, exact, updates) for updates in compared}

    def _largest_error(self, low: list[Arrays], exact: Arrays, updates: int) -> float | None:
        """Return the largest error at any step until `updates`: later the errors may be smaller by chance."""
        steps = sorted({int(key.split("/")[1]) for key in exact})
        errors = [
            error
            for traces in low
            for step in steps
            if step <= updates
            for error in weight_errors(traces, exact, self.start, step).values()
        ]
        return max(errors) if np.isfinite(errors).all() else None

    def _train(self, training: str, dialect: Dialect, arithmetic: Arithmetic) -> Arrays:
        """Return the weights of a training with the stored data."""
        rows = list_trainings(self.data["order"])[training]
        samples = len(self.data["x_train"])
        factors = draw_factors(samples) if training == NEW_SAMPLES else np.ones(samples)
        compared = {*list_updates(training, self.data["order"])}
        return self._train_on(rows, factors, compared, dialect, arithmetic)

    def _train_on(
        self, rows: np.ndarray, factors: np.ndarray, compared: set[int], dialect: Dialect, arithmetic: Arithmetic
    ) -> Arrays:
        """Return the weights after powers of two of updates, and after those that are compared."""
        recorded = {2**power for power in range(len(rows).bit_length())} | compared
        x, traces = scale_samples(self.data["x_train"], factors), dict[str, np.ndarray]()
        with threadpool_limits(1):
            model = build_model(self.task, self.start, dialect, arithmetic)
            for updates, batch in enumerate(rows, start=1):
                model.train([model.put(x[batch], self.data["y_train"][batch])])
                if updates in recorded:
                    traces |= {f"weights/{updates}/{name}": value for name, value in copy_arrays(model).items()}
        return traces

    def expect_outputs(self, weights: Arrays, x: np.ndarray) -> np.ndarray:
        """Return the outputs for x with the given weights: (samples, *input_shape) -> (samples, *output_shape)."""
        return self._predict(weights, x, EXACT)

    def expect_output_rounding(self, weights: Arrays, x: np.ndarray) -> np.ndarray | None:
        """Return the outputs for x as rounding may change them; None in float64."""
        return None if self.precision == "float64" else self._predict(weights, x, Arithmetic(self.precision))

    def _predict(self, weights: Arrays, x: np.ndarray, arithmetic: Arithmetic) -> np.ndarray:
        if arithmetic.precision not in ROUNDING:
            x = x.astype(arithmetic.precision)
        with threadpool_limits(1):
            model = build_model(self.task, weights, {}, arithmetic)
            return np.concatenate([model.predict(x[at : at + FORWARD_CHUNK]) for at in range(0, len(x), FORWARD_CHUNK)])
