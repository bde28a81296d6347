"""Timed predictions. The inputs of every call differ from those of all others, and some of the answers are kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from crossframe.backends.contract import Model
from crossframe.harness.worker.epochs import EVALUATION_CHUNK
from crossframe.harness.worker.measurements import TrainMeasurements
from crossframe.harness.worker.timing import read_clock, time_call, time_calls
from crossframe.tasks.spec import Arrays

INFERENCE_S, MOST_PREDICTIONS = 0.15, 1000
SIZE_S, MOST_OF_SIZE = 0.3, 2000  # where inference alone is measured
MOST_SINGLES, MOST_BATCHES = 16, 2  # timed predictions whose outputs are kept
VARIATION = 0.25  # of the inputs, so that hardly any is seen twice

Draw = Callable[[], tuple[np.ndarray, Arrays]]  # inputs of a call, and arrays from which they can be made again


@dataclass(frozen=True)
class CallBudget:
    """How many calls are timed: as many as fit in `for_s`, within two bounds."""

    at_least: int
    for_s: float
    at_most: int


@dataclass
class TimedPredictions:
    """The seconds of predictions, and some of their answers: the key of the inputs, and the outputs."""

    samples_s: list[float] = field(default_factory=list)
    answers: list[tuple[Arrays, np.ndarray]] = field(default_factory=list)

    def stack(self) -> Arrays:
        """Return the answers as arrays with one entry for each: those of the keys, and `outputs`."""
        names = self.answers[0][0]
        stacked = {name: np.stack([key[name] for key, _ in self.answers]) for name in names}
        return {**stacked, "outputs": np.stack([outputs for _, outputs in self.answers])}


def draw_rows(x: np.ndarray, size: int, generator: np.random.Generator) -> tuple[np.ndarray, Arrays]:
    """Return `size` random rows of x (samples, ...) times a random factor from 0.75 to 1, and `rows` and `factor`."""
    rows = generator.permutation(np.arange(max(size, len(x))) % len(x))[:size]
    factor = np.float32(generator.uniform(1 - VARIATION, 1))
    return x[rows] * factor, {"rows": rows, "factor": np.array(factor)}


def time_predictions(model: Model, draw: Draw, budget: CallBudget, most_answers: int) -> TimedPredictions:
    """Return the seconds of each of several predictions, after a warm-up, and up to `most_answers` of the answers."""
    generator = np.random.default_rng()
    timed = TimedPredictions()
    time_calls(lambda: model.predict(draw()[0]), model.sync, 2, 0.05, 50)
    end = read_clock() + budget.for_s
    while len(timed.samples_s) < budget.at_least or (read_clock() < end and len(timed.samples_s) < budget.at_most):
        x, key = draw()
        begin = read_clock()
        outputs = model.predict(x)
        model.sync()
        timed.samples_s.append(round(read_clock() - begin, 9))
        # Every call is kept with equal probability (reservoir sampling).
        number = len(timed.answers) if len(timed.answers) < most_answers else generator.integers(len(timed.samples_s))
        if number < most_answers:
            timed.answers[number : number + 1] = [(key, np.array(outputs))]
    return timed


def sample_inference(model: Model, x_test: np.ndarray, measurements: TrainMeasurements) -> Arrays:
    """Time predictions of one sample, and of as many as an evaluation takes, each after a warm-up.

    Return the inputs and outputs of some of the timed calls: `single/x`, `single/outputs`, `batch/rows` (of `x_test`)
    and `batch/outputs`.
    """
    generator = np.random.default_rng()
    batch = x_test[:EVALUATION_CHUNK]

    def draw_single() -> tuple[np.ndarray, Arrays]:
        x, _ = draw_rows(x_test, 1, generator)
        return x, {"x": x}

    def draw_batch() -> tuple[np.ndarray, Arrays]:
        rows = generator.permutation(len(batch))
        return batch[rows], {"rows": rows}

    singles = time_predictions(model, draw_single, CallBudget(5, INFERENCE_S, MOST_PREDICTIONS), MOST_SINGLES)
    batches = time_predictions(model, draw_batch, CallBudget(3, INFERENCE_S, MOST_PREDICTIONS), MOST_BATCHES)
    measurements.infer_samples_s, measurements.infer_batch_samples_s = singles.samples_s, batches.samples_s
    measurements.infer_batch_size = len(batch)
    single, many = singles.stack(), batches.stack()
    return {
        "single/x": np.concatenate(single["x"]),
        "single/outputs": np.concatenate(single["outputs"]),
        "batch/rows": many["rows"],
        "batch/outputs": many["outputs"],
    }


def sample_batch_size(model: Model, x_test: np.ndarray, size: int) -> tuple[float, TimedPredictions]:
    """Time predictions of `size` samples each; return the seconds of the first, and the timed others."""
    generator = np.random.default_rng()

    def draw() -> tuple[np.ndarray, Arrays]:
        return draw_rows(x_test, size, generator)

    first, _ = draw()
    first_s = time_call(lambda: model.predict(first), model.sync)
    most_answers = min(MOST_SINGLES, max(1, EVALUATION_CHUNK // size))
    return first_s, time_predictions(model, draw, CallBudget(5, SIZE_S, MOST_OF_SIZE), most_answers)
