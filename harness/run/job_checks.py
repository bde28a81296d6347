"""The checks that tie a measured job to what was verified: the arrays and times of the job itself are judged.

They run in every measured job, on the calls and data of the measurement, so a backend cannot tell that it is examined.
`docs/equality.md` lists them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from statistics import median

import numpy as np

from crossframe.harness.parity.checks import (
    LARGEST_ERROR,
    ExpectedTraces,
    MeasuredError,
    describe_check,
    judge_error,
    output_error,
    weight_errors,
)
from crossframe.harness.parity.job_references import JobReference
from crossframe.harness.records.model import JobCheck
from crossframe.harness.worker.backend_model import NARROWEST_BYTES
from crossframe.harness.worker.measurements import TrainMeasurements
from crossframe.harness.worker.probes import EPOCH, Probe
from crossframe.harness.worker.replays import FACTORS, RESTORED, ROWS, SLOWDOWN, find_slowdown
from crossframe.harness.worker.trainings import FIRST_EPOCH, LATER_EPOCH, NEW_SAMPLES, ONE_BATCH, list_updates
from crossframe.tasks.spec import Arrays

UNFINISHED = 0.3  # of the time of an epoch, left after `sync`; measured: at most 0.05 with a barrier
# Processor time that the first copies to the device may take beyond the usual, unless the first step takes longer.
# Measured in 16 cells: at most 0.024 s, and at most a sixth of the first step.
FIRST_PUT_S = 0.005
MOST_SPEED = 3.0  # times the measured ceiling; the ceiling of a busy machine may be measured too low


@dataclass(frozen=True)
class JobArrays:
    """The arrays that a worker left."""

    outputs: np.ndarray  # (samples, ...), for all held-out samples
    trained: Arrays  # the weights at the end
    checks: Arrays  # of `checks.npz`


def check_job(
    measurements: TrainMeasurements, arrays: JobArrays, reference: JobReference, device: str
) -> list[JobCheck]:
    """Return all checks of a job. KeyError if an array is missing."""
    return [
        *check_trainings(arrays.checks, reference),
        *check_outputs(arrays, reference),
        check_put(measurements),
        check_first_put(measurements),
        *check_evaluation(measurements, arrays, reference),
        *check_checkpoint(measurements, arrays),
        *check_times(measurements, device),
    ]


def check_trainings(arrays: Mapping[str, np.ndarray], reference: JobReference) -> Iterator[JobCheck]:
    """Yield the checks of weights after the first epoch, a later one, and training on one batch and on new samples."""
    order = reference.data["order"]
    (first,), (later,), (same, renewed), (new,) = (
        list_updates(training, order) for training in (FIRST_EPOCH, LATER_EPOCH, ONE_BATCH, NEW_SAMPLES)
    )
    compared = (
        (FIRST_EPOCH, FIRST_EPOCH, first, "after_first_epoch"),
        (LATER_EPOCH, LATER_EPOCH, later, f"{LATER_EPOCH}/{later}"),
        ("the same batch again", ONE_BATCH, same, f"{ONE_BATCH}/{same}"),
        ("the same content again", ONE_BATCH, renewed, f"{ONE_BATCH}/{renewed}"),
        ("new samples among known", NEW_SAMPLES, new, f"{NEW_SAMPLES}/{new}"),
    )
    for name, training, updates, prefix in compared:
        weights = {parameter: arrays[f"{prefix}/{parameter}"] for parameter in reference.start}
        if training == NEW_SAMPLES:
            expected = reference.expect_new_samples(arrays[ROWS], arrays[FACTORS])
        else:
            expected = reference.expect_weights(training)
        yield check_weights(name, (training, updates), weights, expected, reference)


def check_weights(
    name: str, compared: tuple[str, int], weights: Arrays, expected: Arrays, reference: JobReference
) -> JobCheck:
    """Return the check of the weights of `compared`, a training and a number of its updates.

    The error and its tolerance are those of parity; `expected` is of `JobReference.expect_weights`.
    """
    training, updates = compared
    traces = {f"weights/{updates}/{parameter}": value for parameter, value in weights.items()}
    errors = weight_errors(traces, expected, reference.start, updates)
    worst = max(errors, key=lambda parameter: errors[parameter])
    probe = Probe(EPOCH, reference.task, (), (updates,))
    measured = MeasuredError(errors[worst], worst)
    cost = partial(reference.expect_rounding, training, updates)
    check = judge_error(expect_nothing(probe, reference), "weights", updates, measured, cost)
    detail = None if check.passed else describe_check(check).removeprefix(f"{check.name} ")
    return make_check(name, check.error, check.tolerance, check.passed, detail and f"weights {detail}")


def expect_nothing(probe: Probe, reference: JobReference) -> ExpectedTraces:
    """Return what parity needs to judge an error of a probe that has no traces."""
    return ExpectedTraces(probe, reference.precision, {}, tuple, reference.start, {})


def make_check(name: str, error: float, tolerance: float, passed: bool, detail: str | None) -> JobCheck:
    """Return a check whose error is finite, for storage as JSON."""
    finite = float(error) if np.isfinite(error) else LARGEST_ERROR
    return JobCheck(name, finite, float(tolerance), passed, None if passed else detail)


def check_outputs(arrays: JobArrays, reference: JobReference) -> Iterator[JobCheck]:
    """Yield the checks of outputs against the reference model's forward pass on the final weights.

    They are those that give the quality, some of the timed predictions, for single samples and for many, and one from
    the initial weights, once these are loaded.
    """
    x, checks = reference.data["x_test"], arrays.checks
    expected = reference.expect_outputs(arrays.trained, x)
    final = Prediction(reference, arrays.trained, x, expected)
    yield judge_outputs("outputs", arrays.outputs, final)
    single = predict(reference, arrays.trained, checks["single/x"])
    yield judge_outputs("timed predictions of one sample", checks["single/outputs"], single)
    yield judge_outputs("predictions after loading", checks[RESTORED], predict(reference, reference.start, x[:1]))
    rows = np.concatenate(checks["batch/rows"])
    answers = checks["batch/outputs"].reshape(-1, *checks["batch/outputs"].shape[2:])
    many = Prediction(reference, arrays.trained, x[rows], expected[rows])
    yield judge_outputs("timed predictions of many samples", answers, many)


@dataclass(frozen=True)
class Prediction:
    """What the reference model predicts for x with some weights."""

    reference: JobReference
    weights: Arrays
    x: np.ndarray  # (samples, ...)
    expected: np.ndarray  # (samples, ...)


def predict(reference: JobReference, weights: Arrays, x: np.ndarray) -> Prediction:
    """Return the prediction of the reference model."""
    return Prediction(reference, weights, x, reference.expect_outputs(weights, x))


def judge_outputs(name: str, outputs: np.ndarray, prediction: Prediction) -> JobCheck:
    """Return the check of outputs (samples, ...) against a prediction."""
    reference, expected = prediction.reference, prediction.expected
    error = output_error(outputs, expected)

    def compute_cost() -> float | None:
        low = reference.expect_output_rounding(prediction.weights, prediction.x)
        return None if low is None else output_error(low, expected)

    traces = expect_nothing(Probe(name, reference.task, ()), reference)
    check = judge_error(traces, "outputs", 0, MeasuredError(error), compute_cost)
    detail = None
    if not check.passed:
        detail = f"off by {error:.1e} of the largest expected output (tolerance {check.tolerance:.0e})"
    return make_check(name, error, check.tolerance, check.passed, detail)


def check_put(measurements: TrainMeasurements) -> JobCheck:
    """Return the check that copying batches to the device changes no weight."""
    changed = measurements.changed_by_put
    if changed is None:
        raise KeyError("changed_by_put")
    detail = f"weights changed while batches were copied to the device: {', '.join(changed)}"
    return make_check("copies", len(changed), 0.0, not changed, detail)


def check_evaluation(measurements: TrainMeasurements, arrays: JobArrays, reference: JobReference) -> Iterator[JobCheck]:
    """Yield the checks of a random evaluation during the training: its outputs, and that it changes no weight."""
    if "evaluated/outputs" not in arrays.checks:  # the training ended before the first evaluation
        return
    weights = {name: arrays.checks[f"evaluated/{name}"] for name in reference.start}
    prediction = predict(reference, weights, reference.data["x_test"])
    yield judge_outputs("evaluation", arrays.checks["evaluated/outputs"], prediction)
    changed = measurements.changed_by_evaluation
    detail = f"weights changed while the model was evaluated: {', '.join(changed)}"
    yield make_check("weights after evaluation", len(changed), 0.0, not changed, detail)


def check_checkpoint(measurements: TrainMeasurements, arrays: JobArrays) -> Iterator[JobCheck]:
    """Yield the check that the files of the checkpoint can hold the weights, if there is a checkpoint."""
    stored, weights = measurements.checkpoint_bytes, sum(value.size for value in arrays.trained.values())
    if stored is not None:
        least = NARROWEST_BYTES * weights
        detail = f"the checkpoint of {weights} weights has {stored} bytes"
        yield make_check("size of the checkpoint", max(0.0, least - stored), 0.0, stored >= least, detail)


def check_first_put(measurements: TrainMeasurements) -> JobCheck:
    """Return the check that no part of the first step, such as its compilation, is done while batches are copied."""
    if not measurements.put_processor_s or measurements.first_step_s is None:
        raise KeyError("put_processor_s")
    first_s, *later_s = measurements.put_processor_s
    usual_s = median(later_s) if later_s else 0.0
    allowed_s = max(FIRST_PUT_S, usual_s, measurements.first_step_s)
    detail = (
        f"the first copies to the device took {first_s:.2g} s of processor time, later ones {usual_s:.2g} s, "
        f"and the first step {measurements.first_step_s:.2g} s: the copies do a part of the first step"
    )
    return make_check("first copies", max(0.0, first_s - usual_s), allowed_s, first_s - usual_s <= allowed_s, detail)


def check_times(measurements: TrainMeasurements, device: str) -> Iterator[JobCheck]:
    """Yield the checks that verified steps take as long as measured ones, and that `sync` leaves no work over."""
    replays = {
        "time of a step": measurements.replayed_step,
        "time of new samples": measurements.replayed_samples,
        "time of an epoch": measurements.replayed_epoch,
    }
    for name, times in replays.items():
        if times is None:
            raise KeyError(name)
        slowdown = find_slowdown(times, device)
        detail = (
            f"a step took {times.measured_s:.2g} s when it was measured, and {slowdown:.1f} times as long when its "
            "weights were compared"
        )
        yield make_check(name, slowdown, SLOWDOWN, slowdown <= SLOWDOWN, detail)
    unfinished = median(measurements.unfinished_shares) if measurements.unfinished_shares else 0.0
    detail = f"after sync, reading the weights still waits for {unfinished:.0%} of an epoch: sync is no barrier"
    yield make_check("barrier", unfinished, UNFINISHED, unfinished <= UNFINISHED, detail)


def check_speed(achieved: float | None, ceiling: float | None) -> JobCheck | None:
    """Return the check of the achieved operations per second; None if either rate is unknown."""
    if not achieved or not ceiling:
        return None
    ratio = achieved / ceiling
    detail = f"{achieved:.2g} operations per second are {ratio:.1f} times the ceiling that was measured on this device"
    return make_check("speed", ratio, MOST_SPEED, ratio <= MOST_SPEED, detail)


def describe_failures(checks: list[JobCheck]) -> str | None:
    """Return the failed checks in one line; None if there is none."""
    failures = [f"{check.name}: {check.detail}" for check in checks if not check.passed]
    return "; ".join(failures) or None
