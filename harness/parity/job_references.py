"""What the reference model computes for the trainings of a measured job, and what rounding may change in it.

Everything that takes long is stored in the cache folder, under everything that it depends on. The model uses one
thread: on a busy machine the threads of a matrix product wait for each other far longer than they compute.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar
from zipfile import BadZipFile

import numpy as np
from threadpoolctl import threadpool_limits

import crossframe.backends.reference.model as reference
import crossframe.tasks.spec
from crossframe.backends.contract import Dialect
from crossframe.harness.files import digest, write_atomically
from crossframe.harness.machine.cache import cache_folder
from crossframe.harness.parity import low_precision, near_ties, reference_traces
from crossframe.harness.parity.checks import weight_errors
from crossframe.harness.parity.dialects import dialect_for
from crossframe.harness.parity.low_precision import ROUNDING
from crossframe.harness.parity.reference_traces import EXACT, Arithmetic, build_model
from crossframe.harness.worker import trainings
from crossframe.harness.worker.trainings import list_trainings, list_updates
from crossframe.tasks.spec import Arrays, Task

T = TypeVar("T")

# The code that a result depends on.
CODE = (
    *(Path(module.__file__) for module in (low_precision, near_ties, reference_traces, trainings) if module.__file__),
    Path(__file__),
    Path(reference.__file__).parent,
    Path(crossframe.tasks.spec.__path__[0]),
)
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
        """The initial weights."""
        return {name: self.data[f"weights/{name}"] for name in self.task.parameters()}

    @cached_property
    def _key(self) -> str:
        content = hashlib.sha256(self.inputs.read_bytes()).hexdigest()
        return "\n".join([content, digest(*CODE), repr(self.task)])

    def _path(self, *parts: str) -> Path:
        """Return the path of a stored result that depends on `parts` beside task, inputs and code."""
        key = hashlib.sha256("\n".join([self._key, *parts]).encode()).hexdigest()[:24]
        return cache_folder() / "reference" / f"{self.task.name}-job-{key}"

    def expect_weights(self, training: str) -> Arrays:
        """Return `weights/<updates>/<parameter>` of a training, as `crossframe.harness.parity.checks` compares them.

        Beside the weights that are compared, each parameter is there when it was furthest from its start.
        """
        settings = dialect_for(self.task, self.dialect)
        path = self._path("weights", training, json.dumps(settings)).with_suffix(".npz")

        def compute() -> Arrays:
            compared = list_updates(training, self.data["order"])
            return keep_furthest(self._train(training, settings, EXACT), self.start, compared)

        return read_or_compute(path, _read_archive, compute)

    def expect_rounding(self, training: str, updates: int) -> float | None:
        """Return the error of the weights after so many updates that rounding causes in the reference model.

        It hardly depends on the dialect, so it is that of the specification. None in float64, or if it is not finite.
        """
        if self.precision == "float64":
            return None
        path = self._path("rounding", training, self.precision).with_suffix(".json")

        def compute() -> dict[str, float | None]:
            exact = self._train(training, {}, EXACT)
            flips = (True,) if self.precision == "float32" else (True, False)
            low = [self._train(training, {}, Arithmetic(self.precision, flip)) for flip in flips]
            compared = list_updates(training, self.data["order"])
            return {str(updates): self._largest_error(low, exact, updates) for updates in compared}

        return read_or_compute(path, _read_numbers, compute)[str(updates)]

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
        """Return the weights after powers of two of updates, and after those that are compared."""
        rows = list_trainings(self.data["order"])[training]
        recorded = {2**power for power in range(len(rows).bit_length())} | {*list_updates(training, self.data["order"])}
        traces: Arrays = {}
        with threadpool_limits(1):
            model = build_model(self.task, self.start, dialect, arithmetic)
            for updates, batch in enumerate(rows, start=1):
                model.train([model.put(self.data["x_train"][batch], self.data["y_train"][batch])])
                if updates in recorded:
                    traces |= {f"weights/{updates}/{name}": value for name, value in model.weights().items()}
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


def keep_furthest(traces: Arrays, start: Arrays, compared: tuple[int, ...]) -> Arrays:
    """Return the weights after the updates in `compared`, and each parameter when it was furthest from its start."""
    kept: Arrays = {}
    for name, value in start.items():
        steps = sorted(int(key.split("/")[1]) for key in traces if key.split("/", 2)[2] == name)
        distances = [float(np.linalg.norm(traces[f"weights/{step}/{name}"] - value)) for step in steps]
        for updates in compared:
            furthest = max((distance, step) for distance, step in zip(distances, steps) if step <= updates)[1]
            kept |= {f"weights/{step}/{name}": traces[f"weights/{step}/{name}"] for step in (updates, furthest)}
    return kept


def read_or_compute(path: Path, read: Callable[[Path], T], compute: Callable[[], T]) -> T:
    """Return a stored result; compute and store it if the file is missing or damaged."""
    try:
        return read(path)
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        result = compute()
        write_atomically(path, result if path.suffix == ".npz" else json.dumps(result))  # type: ignore[arg-type]
        return result


def _read_numbers(path: Path) -> dict[str, float | None]:
    numbers: dict[str, float | None] = json.loads(path.read_bytes())
    return numbers


def _read_archive(path: Path) -> Arrays:
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}
