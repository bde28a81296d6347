"""Training epoch by epoch with evaluations, and samples of single training steps."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from crossframe.backends.contract import Batch, Model
from crossframe.harness.worker import quality
from crossframe.harness.worker.backend_model import copy_arrays
from crossframe.harness.worker.barrier import read_clocks
from crossframe.harness.worker.failures import DivergedError
from crossframe.harness.worker.measurements import Epoch, EvaluationPoint, TrainMeasurements
from crossframe.harness.worker.timing import read_clock, read_processor_s, time_call, time_calls, warm_up_clock
from crossframe.tasks.spec import QUALITY, Arrays, EarlyStopping, Task

# Epochs to time at least. Two of them may be warm-up: a mode that compiles whole epochs compiles two lengths.
ENOUGH_EPOCHS = 4
ENOUGH_S = 1.0  # of training, after which a short training ends, so that brief disturbances average out
FEW_EPOCHS, LONG_S = 2, 2.0  # so few are enough where they take so long, unless the second is warm-up too
WARM_UP = 1.25  # a step of an epoch that takes this many times as long as a single step was warm-up
EVALUATION_CHUNK = 500  # samples; enough for the 360 held-out digits at once
MOST_READS = 16  # epochs, drawn at random, after which the time to read the weights is measured


def predict(model: Model, x: np.ndarray) -> np.ndarray:
    """Return the outputs for all of `x`, computed in chunks."""
    chunks = [model.predict(x[start : start + EVALUATION_CHUNK]) for start in range(0, len(x), EVALUATION_CHUNK)]
    return np.concatenate(chunks)


def prefix_names(prefix: str, arrays: Arrays) -> Arrays:
    """Return `<prefix>/<name>` -> array."""
    return {f"{prefix}/{name}": value for name, value in arrays.items()}


def put_batches(model: Model, data: Arrays, order: np.ndarray) -> list[Batch]:
    """Return the batches of `order` (batches, samples) on the device, once their copies are complete.

    They are put in a random order, which is not that of the training, with a batch among them that is never trained:
    work that `put` does ahead of the training is wrong.
    """
    generator = np.random.default_rng()  # not seeded, so that no backend can know the order
    rows = [*order, generator.choice(len(data["x_train"]), order.shape[1], replace=False)]
    batches = {
        int(number): model.put(data["x_train"][rows[number]], data["y_train"][rows[number]])
        for number in generator.permutation(len(rows))
    }
    model.sync()
    return [batches[number] for number in range(len(order))]


def time_put(
    model: Model, data: Arrays, order: np.ndarray, measurements: TrainMeasurements, watch: bool = False
) -> list[Batch]:
    """Return the batches as `put_batches`; store the processor time that it took.

    With `watch`, also store the names of the parameters that it changed.
    """
    before = copy_arrays(model) if watch else {}
    begin = read_processor_s()
    batches = put_batches(model, data, order)
    measurements.put_processor_s.append(round(read_processor_s() - begin, 9))
    if watch:
        measurements.changed_by_put = list_changes(before, copy_arrays(model))
    return batches


class DrawnEpochs(NamedTuple):
    """The epochs of a training, from 1, in which more is compared. They are drawn, so that no backend can know them."""

    put: int  # the weights before and after the batches are copied
    evaluated: int | None  # the weights before and after the evaluation, and its outputs
    read: set[int]  # the time for which reading the weights waits


def draw_epochs(task: Task, epochs: int, complete: bool) -> DrawnEpochs:
    """Return epochs that a training reaches for certain."""
    generator = np.random.default_rng()
    expected = epochs if complete else min(epochs, FEW_EPOCHS)
    certain = min(expected, task.early_stopping.patience) if task.early_stopping else expected
    evaluations = [epoch for epoch in range(1, certain + 1) if epoch % task.evaluate_every == 0]
    read = generator.choice(expected, min(expected, MOST_READS), replace=False) + 1
    return DrawnEpochs(
        put=int(generator.integers(min(2, certain), certain, endpoint=True)),  # the first may behave otherwise if read
        evaluated=int(generator.choice(evaluations)) if evaluations else None,
        read={1, *map(int, read)},
    )


def train_epochs(
    model: Model, task: Task, data: Arrays, measurements: TrainMeasurements, complete: bool = True
) -> Arrays:
    """Train all epochs in the stored order of batches; return arrays of some epochs, to be compared.

    These are the weights after the first epoch, `after_first_epoch/<parameter>`, and the outputs and the weights of a
    random evaluation, if there was one: `evaluated/outputs` and `evaluated/<parameter>`.

    A training that is not complete ends when there is enough to time, see `is_over`. `data` holds `x_train`, `y_train`,
    `x_test`, `y_test` and `order` (epochs, batches, samples). Copies to the device and evaluations are not timed.
    DivergedError where the held-out loss is not finite.
    """
    checks: Arrays = {}
    train_s = 0.0
    drawn = draw_epochs(task, len(data["order"]), complete)
    for epoch, order in enumerate(data["order"], start=1):
        batches = time_put(model, data, order, measurements, watch=epoch == drawn.put)
        if epoch == 1:
            train_s = time_first_steps(model, batches[:2], measurements)
            batches = batches[2:]
        epoch_s, weights = train_epoch(model, batches, epoch, epoch in drawn.read, measurements)
        train_s += epoch_s
        if epoch == 1:
            checks |= prefix_names("after_first_epoch", weights or copy_arrays(model))
        if epoch % task.evaluate_every == 0 or epoch == len(data["order"]):
            before = copy_arrays(model) if epoch == drawn.evaluated else {}
            point, outputs = evaluate(model, task, data, epoch, train_s)
            if before:
                measurements.changed_by_evaluation = list_changes(before, copy_arrays(model))
                checks |= prefix_names("evaluated", before | {"outputs": outputs})
            add_point(task, point, measurements)
        if is_over(task, measurements, train_s, complete):
            break
    return checks


def train_epoch(
    model: Model, batches: list[Batch], epoch: int, read: bool, measurements: TrainMeasurements
) -> tuple[float, Arrays]:
    """Train on the batches of an epoch; return the seconds, and the weights if they are to be read."""
    if not batches:
        return 0.0, {}
    measurements.epochs.append(time_epoch(model, batches, epoch))
    train_s = measurements.epochs[-1].train_s
    if not read:
        return train_s, {}
    share, weights = measure_unfinished(model, train_s)
    measurements.unfinished_shares.append(share)
    return train_s, weights


def add_point(task: Task, point: EvaluationPoint, measurements: TrainMeasurements) -> None:
    """Store an evaluation, and the time to the target if it is the first that reaches it."""
    measurements.curve.append(point)
    if measurements.time_to_target_s is None and reaches_target(task, point):
        measurements.time_to_target_s = point.train_s


def list_changes(before: Arrays, after: Arrays) -> list[str]:
    """Return the names of the arrays that are not equal to the last bit."""
    return [name for name in before if not np.array_equal(before[name], after[name])]


def measure_unfinished(model: Model, train_s: float) -> tuple[float, Arrays]:
    """Return the share of an epoch's time that is left after `sync`, for which reading the weights waits, and these.

    The second of two reads shows the cost of reading itself. Waiting for a processor does not count.
    """
    clocks, reads = [read_clocks()], []
    for _ in range(2):
        reads.append(copy_arrays(model))
        clocks.append(read_clocks())
    first_s, second_s = (
        after.wall_s - before.wall_s - (after.delay_s - before.delay_s) for before, after in pairwise(clocks)
    )
    return max(0.0, first_s - second_s) / (train_s + first_s), reads[0]


def time_first_steps(model: Model, batches: Sequence[Batch], measurements: TrainMeasurements) -> float:
    """Time up to two steps one by one: the first compiles, the second shows what remains of that. Return the sum."""
    warm_up_clock()
    steps_s = [time_call(partial(model.train, [batch]), model.sync) for batch in batches]
    measurements.first_step_s = steps_s[0]
    measurements.second_step_s = steps_s[1] if len(steps_s) > 1 else None
    return sum(steps_s)


def time_epoch(model: Model, batches: Sequence[Batch], epoch: int | None) -> Epoch:
    """Train on all batches and time them together.

    `began_s` is of the monotonic clock, which the parent uses for its samples of the GPU.
    """
    began_s, processor_s = round(time.monotonic(), 6), read_processor_s()
    train_s = time_call(partial(model.train, batches), model.sync)
    return Epoch(epoch, train_s, len(batches), began_s, round(read_processor_s() - processor_s, 9))


def evaluate(model: Model, task: Task, data: Arrays, epoch: int, train_s: float) -> tuple[EvaluationPoint, np.ndarray]:
    """Return the held-out loss and quality, and the training loss, after `epoch` epochs, and the held-out outputs.

    `train_s` is the training time until then. DivergedError where a loss is not finite.
    """
    begin = read_clock()
    outputs = predict(model, data["x_test"])
    loss = quality.mean_loss(task.loss, outputs, data["y_test"])
    if not np.isfinite(loss):
        raise DivergedError(f"the held-out loss is {loss} after epoch {epoch}")
    metric = quality.compute_quality(task.loss, outputs, data["y_test"])[task.quality]
    train_loss = None
    if task.evaluate_every > 1:  # a pass over the training data takes as long as an epoch, so only if it is rare
        train_loss = quality.mean_loss(task.loss, predict(model, data["x_train"]), data["y_train"])
        if not np.isfinite(train_loss):
            raise DivergedError(f"the training loss is {train_loss} after epoch {epoch}")
    evaluate_s = read_clock() - begin
    return EvaluationPoint(epoch, loss, train_loss, {task.quality: metric}, train_s, evaluate_s), outputs


def reaches_target(task: Task, point: EvaluationPoint) -> bool:
    """Return whether the quality at a point is at least as good as the target of the task."""
    name, more_is_better = QUALITY[task.loss]
    return point.quality[name] >= task.target if more_is_better else point.quality[name] <= task.target


def is_over(task: Task, measurements: TrainMeasurements, train_s: float, complete: bool) -> bool:
    """Return whether a training ends before its last epoch.

    One that is not complete ends after `ENOUGH_EPOCHS` and `ENOUGH_S`, or after `FEW_EPOCHS` of `LONG_S`.
    """
    epochs = measurements.epochs
    enough = (len(epochs) >= ENOUGH_EPOCHS and train_s >= ENOUGH_S) or are_long(epochs)
    losses = [point.loss for point in measurements.curve]
    return (enough and not complete) or stops_early(task.early_stopping, losses)


def stops_early(rule: EarlyStopping | None, losses: list[float]) -> bool:
    """Return whether the last `patience` evaluations did not lower the loss by more than `min_delta`."""
    if rule is None or len(losses) <= rule.patience:
        return False
    return min(losses[-rule.patience :]) > min(losses[: -rule.patience]) - rule.min_delta


def sample_steps(model: Model, data: Arrays, measurements: TrainMeasurements) -> None:
    """Time single steps; then time further epochs if there were too few to tell the steady ones."""
    order = data["order"][0]
    (batch,) = put_batches(model, data, order[:1])
    begin = read_processor_s()
    measurements.step_samples_s = time_calls(partial(model.train, [batch]), model.sync, 5, 0.3, 2000)
    measurements.step_processor_s = (read_processor_s() - begin) / len(measurements.step_samples_s)
    for _ in range(count_missing_epochs(measurements.epochs, measurements.step_samples_s)):
        measurements.epochs.append(time_epoch(model, time_put(model, data, order, measurements), None))


def count_missing_epochs(epochs: Sequence[Epoch], step_samples_s: Sequence[float]) -> int:
    """Return how many epochs are missing to tell the steady ones: up to `ENOUGH_EPOCHS`, unless they are long."""
    if are_long(epochs):
        second = epochs[FEW_EPOCHS - 1]
        if second.train_s / second.steps <= WARM_UP * float(np.median(step_samples_s)):
            return 0
    return max(0, ENOUGH_EPOCHS - len(epochs))


def are_long(epochs: Sequence[Epoch]) -> bool:
    """Return whether `FEW_EPOCHS` took `LONG_S`."""
    return len(epochs) >= FEW_EPOCHS and sum(epoch.train_s for epoch in epochs) >= LONG_S
