"""Trainings that the measured model repeats from its initial state, so that they can be compared with the reference.

They come after the timed training, with the same model object and the same sizes of calls, and they are timed: a
backend that computes correctly only here is slower here. A training is repeated until it is about as fast as the
measurement, since noise only adds time; its weights are those of the last, fastest try.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from crossframe.backends.contract import Batch, Model
from crossframe.harness.worker.archives import select_weights
from crossframe.harness.worker.backend_model import copy_arrays, prepare_model
from crossframe.harness.worker.epochs import prefix_names, put_batches, time_epoch
from crossframe.harness.worker.jobs import TrainJob
from crossframe.harness.worker.measurements import Epoch, ReplayTimes, TrainMeasurements
from crossframe.harness.worker.trainings import (
    CALLS,
    LATER_EPOCH,
    NEW_SAMPLES,
    ONE_BATCH,
    draw_factors,
    list_trainings,
    scale_samples,
)
from crossframe.tasks.spec import Arrays

# A verified step may take this many times as long as a measured one. Measured in the first tries, on two processors
# with 17 programs: at most 1.25, but once 1.52 in 3 tries of a step that took 30 times as long as on an idle machine.
SLOWDOWN = 1.5
# To be no slower than that; an idle machine needs one or two tries. Short steps are tried for as long as long ones:
# another program or another guest of the host may disturb them for seconds.
FEWEST_TRIES, MOST_S = 3, 8.0
ROWS, FACTORS = f"{NEW_SAMPLES}/rows", f"{NEW_SAMPLES}/factors"  # (updates, samples), and one for each sample of all
RESTORED = "restored/outputs"  # of the first held-out sample, before any training


class Seconds(NamedTuple):
    """The duration of something."""

    wall_s: float
    processor_s: float  # of all threads of the process


def replay(job: TrainJob, model: Model, data: Arrays, folder: Path, measurements: TrainMeasurements) -> Arrays:
    """Predict one sample, and repeat one batch and a later epoch, from the initial state.

    Return the outputs, and the weights after each training. The initial state is that of a second model, saved to a
    checkpoint, which the measured model loads.
    """
    initial = folder / "initial"
    prepare_model(job, job.task, select_weights(data, job.task)).save(initial)
    model.load(initial)
    arrays = {RESTORED: model.predict(data["x_test"][:1])}
    arrays |= replay_batch(model, data, initial, job.device, measurements)
    arrays |= replay_samples(model, data, initial, job.device, measurements)
    arrays |= replay_epoch(model, data, initial, job.device, measurements)
    shutil.rmtree(initial)
    return arrays


def replay_batch(model: Model, data: Arrays, initial: Path, device: str, measurements: TrainMeasurements) -> Arrays:
    """Train on one batch: as one object, as the step samples do, then as new objects of the same content."""
    rows = list_trainings(data["order"])[ONE_BATCH]
    half = len(rows) // 2

    def train() -> tuple[Seconds, Arrays]:
        model.load(initial)
        (batch,) = put_batches(model, data, rows[:1])
        steps = train_calls(model, [batch] * half)
        arrays = prefix_names(f"{ONE_BATCH}/{half}", copy_arrays(model))
        steps += train_calls(model, put_batches(model, data, rows[half:]))
        fastest = Seconds(min(step.wall_s for step in steps), min(step.processor_s for step in steps))
        return fastest, arrays | prefix_names(f"{ONE_BATCH}/{len(rows)}", copy_arrays(model))

    measurements.replayed_step, arrays = train_until_fast(train, single_step(measurements), device)
    return arrays


def train_calls(model: Model, batches: Sequence[Batch]) -> list[Seconds]:
    """Train on batches in calls of the sizes `CALLS`; return the seconds of each call of one batch."""
    seconds, start = [], 0
    for size in CALLS:
        epoch = time_epoch(model, list(batches[start : start + size]), None)
        seconds += [step_seconds(epoch)] * (size == 1)
        start += size
    return seconds


def step_seconds(epoch: Epoch) -> Seconds:
    """Return the duration of a step of an epoch."""
    return Seconds(epoch.train_s / epoch.steps, (epoch.processor_s or 0.0) / epoch.steps)


def replay_samples(model: Model, data: Arrays, initial: Path, device: str, measurements: TrainMeasurements) -> Arrays:
    """Train on batches with new samples among those that the model has seen, in an order that was not known before.

    Values and order are drawn in each try, the order after the batches are on the device, so that nothing can be
    computed ahead. A call of a few steps takes as long as these take in an epoch, and what a call of its own adds.
    """
    known = list_trainings(data["order"])[NEW_SAMPLES]
    generator = np.random.default_rng()

    def train() -> tuple[Seconds, Arrays]:
        model.load(initial)
        factors = draw_factors(len(data["x_train"]), generator)
        rows = generator.permutation(known)
        changed = {**data, "x_train": scale_samples(data["x_train"], factors)}
        batches, order = put_batches(model, changed, rows), generator.permutation(len(rows))
        epoch = time_epoch(model, [batches[number] for number in order], None)
        arrays = prefix_names(f"{NEW_SAMPLES}/{len(rows)}", copy_arrays(model))
        return step_seconds(epoch), {**arrays, ROWS: rows[order], FACTORS: factors}

    steps = zip(single_step(measurements), epoch_step(measurements))
    measured = Seconds(*(in_epoch + max(0.0, single - in_epoch) / len(known) for single, in_epoch in steps))
    measurements.replayed_samples, arrays = train_until_fast(train, measured, device)
    return arrays


def single_step(measurements: TrainMeasurements) -> Seconds:
    """Return the duration of a single step, as it was measured."""
    assert measurements.step_samples_s is not None
    assert measurements.step_processor_s is not None
    return Seconds(float(np.median(measurements.step_samples_s)), measurements.step_processor_s)


def epoch_step(measurements: TrainMeasurements) -> Seconds:
    """Return the duration of a step of an epoch, as it was measured."""
    steps = [step_seconds(epoch) for epoch in measurements.epochs if epoch.epoch != 1]
    return Seconds(*(float(np.median(seconds)) for seconds in zip(*steps)))


def replay_epoch(model: Model, data: Arrays, initial: Path, device: str, measurements: TrainMeasurements) -> Arrays:
    """Train on the batches of a later epoch in one call, as the timed epochs do."""
    rows = list_trainings(data["order"])[LATER_EPOCH]

    def train() -> tuple[Seconds, Arrays]:
        model.load(initial)
        epoch = time_epoch(model, put_batches(model, data, rows), None)
        return step_seconds(epoch), prefix_names(f"{LATER_EPOCH}/{len(rows)}", copy_arrays(model))

    measurements.replayed_epoch, arrays = train_until_fast(train, epoch_step(measurements), device)
    return arrays


def train_until_fast(
    train: Callable[[], tuple[Seconds, Arrays]], measured: Seconds, device: str
) -> tuple[ReplayTimes, Arrays]:
    """Return the times and the weights of the first training that is about as fast as measured, or of the fastest."""

    def try_once() -> tuple[ReplayTimes, Arrays]:
        replayed, arrays = train()
        times = ReplayTimes(measured.wall_s, replayed.wall_s, measured.processor_s, replayed.processor_s)
        return times, arrays

    end = time.monotonic() + MOST_S
    tries, fastest = 1, try_once()
    while find_slowdown(fastest[0], device) > SLOWDOWN and (tries < FEWEST_TRIES or time.monotonic() < end):
        tries, fastest = tries + 1, min(fastest, try_once(), key=lambda tried: find_slowdown(tried[0], device))
    return fastest


def find_slowdown(times: ReplayTimes, device: str) -> float:
    """Return how many times as long a verified step takes as a measured one.

    On a CPU in elapsed time or in processor time, whichever is less: other programs lengthen the first, and the second
    where threads wait for each other by trying again and again. The work of a GPU is seen in elapsed time only.
    """
    elapsed = times.replayed_s / times.measured_s
    if device != "cpu" or not times.measured_processor_s:
        return elapsed
    return min(elapsed, times.replayed_processor_s / times.measured_processor_s)
