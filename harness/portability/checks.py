"""The conclusion from the outputs of a runtime: one state, with a stage and a reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from crossframe.harness.launch.launch import Outcome
from crossframe.harness.launch.leavings import read_arrays, read_left, read_log
from crossframe.harness.portability.distances import classify_nan, count_decisions, measure_distances
from crossframe.harness.portability.jobs import LowPrecision
from crossframe.harness.portability.model_file import ModelFile, list_costs
from crossframe.harness.portability.test_vectors import BATCH_SIZES, HELD_OUT, NAN_ROW
from crossframe.harness.records.portability import (
    Checks,
    DecisionCounts,
    Distances,
    InputChecks,
    NanBehaviour,
    PortabilityState,
    QualityCheck,
    Stage,
)
from crossframe.harness.worker import quality
from crossframe.harness.worker.measurements import OnnxMeasurements
from crossframe.harness.worker.states import State

TOLERANCE = 1e-4  # relative error; measured: at most 5e-6 where file and runtime are correct
LARGE_TOLERANCE = 1e-3  # relative error of the set `large`
QUALITY_TOLERANCE = 1e-3  # change of the quality metric
FRAMEWORK_ERRORS = 10  # most times the float32 error of the exporting framework
REASON_LENGTH = 300  # characters of a log that a reason quotes
ERROR_LENGTH = 160  # characters of an error message within a reason

Outputs = Mapping[str, np.ndarray]  # `set/number` -> output


class WrongOutputError(Exception):
    """The outputs differ from those of the reference; the message names the check that failed."""


@dataclass(frozen=True)
class Conclusion:
    """The result of one file in one runtime, apart from its metrics."""

    state: PortabilityState
    stage: Stage
    reason: str | None
    costs: list[str] = field(default_factory=list)
    checks: Checks = field(default_factory=Checks)


def is_complete(outcome: Outcome[OnnxMeasurements]) -> bool:
    """Return whether the file ran, at every batch size."""
    sets = outcome.measurements.sets
    return outcome.state == State.OK and not any(sets.get(name) for name in (*HELD_OUT, "whole"))


def classify_failure(outcome: Outcome[OnnxMeasurements], folder: Path) -> Conclusion:
    """Return the conclusion for a process without outputs, from its outcome and the last stage that it began."""
    stage, reason = read_stage(folder), str(outcome.reason)
    if outcome.state == State.TIMEOUT:
        return Conclusion(PortabilityState.TIMEOUT, stage, reason)
    if outcome.state == State.NOT_INSTALLED or stage == Stage.IMPORT:
        return Conclusion(PortabilityState.NOT_INSTALLED, stage, reason)
    if outcome.state == State.OUT_OF_MEMORY:
        return Conclusion(PortabilityState.CRASH, stage, f"needs more memory than a process may use: {reason}")
    if outcome.measurements.stage is not None:  # the process itself reported the error
        return Conclusion(PortabilityState.REFUSED, stage, reason)
    log = " ".join(read_log(folder).split())[:REASON_LENGTH]  # a panic names its cause first
    return Conclusion(PortabilityState.CRASH, stage, f"{reason.partition('; log:')[0]}: {log}")


def read_stage(folder: Path) -> Stage:
    """Return the last stage that a process began; `import` if it left none that is valid."""
    try:
        return Stage(read_left(folder, "stage", 100).decode())
    except (OSError, ValueError):
        return Stage.IMPORT


def find_worst_distances(file: ModelFile, outputs: Outputs) -> Distances | None:
    """Return the worst distances over all sets that ran, None if there are none.

    Raise WrongOutputError where outputs cannot be compared.
    """
    distances: list[Distances] = []
    for name in (*HELD_OUT, "whole", "zeros"):
        for number, expected in enumerate(file.vectors.expected.get(name, [])):
            if f"{name}/{number}" in outputs:
                try:
                    distances.append(measure_distances(outputs[f"{name}/{number}"], expected))
                except ValueError as error:
                    raise WrongOutputError(f"{name.replace('_', ' of ')}: {error}") from None
    if not distances:
        return None
    max_abs = max(item.max_abs for item in distances)
    return Distances(
        max_abs=max_abs,
        relative_error=max(item.relative_error for item in distances),
        max_ulp=max(item.max_ulp for item in distances),
        cosine=min(item.cosine for item in distances),
        onnx_suite=all(item.onnx_suite for item in distances),
        framework_error=file.framework_error,
        framework_error_ratio=max_abs / file.framework_error if file.framework_error else None,
    )


def join_held_out(file: ModelFile, outputs: Outputs) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the outputs and the expected outputs for every held-out sample; None if a set is missing."""
    names = [name for name in HELD_OUT if name in file.vectors.rows]
    if file.targets is None or any(f"{name}/0" not in outputs for name in names):
        return None
    count = len(file.targets)
    return np.concatenate([outputs[f"{name}/0"] for name in names])[:count], file.held_out_outputs()[:count]


def check_quality(file: ModelFile, outputs: Outputs) -> tuple[QualityCheck | None, DecisionCounts | None, float | None]:
    """Return the quality metric, the labels, and the largest distance from the outputs of the framework."""
    held_out = join_held_out(file, outputs)
    if held_out is None or file.task is None or file.targets is None:
        return None, None, None
    actual, expected = held_out
    loss, metric = file.task.loss, file.task.quality
    value, best = (quality.compute_quality(loss, values, file.targets)[metric] for values in (actual, expected))
    decisions = count_decisions(loss, actual, expected, file.framework_error or 0.0)
    distance = None
    if file.framework_outputs is not None:
        distance = float(np.abs(actual - file.framework_outputs[: len(actual)]).max())
    return QualityCheck(metric, value, value - best), decisions, distance


def measure_batching_error(outputs: Outputs) -> float | None:
    """Return the relative difference of samples in one batch from the same samples in smaller ones; None if not run."""
    names = [f"batch_{size}" for size in BATCH_SIZES]
    if any(f"{name}/0" not in outputs for name in (*names, "whole")):
        return None
    whole = outputs["whole/0"]
    joined = np.concatenate([outputs[f"{name}/0"] for name in names])
    if joined.shape != whole.shape:  # an output without a batch axis
        return None
    return float(np.abs(joined - whole).max() / (np.abs(whole).max() or 1.0))


def check_inputs(file: ModelFile, outputs: Outputs) -> InputChecks:
    """Return how the runtime treats zeros, large numbers and NaN."""
    errors: dict[str, float | str] = {}
    for name in ("zeros", "large"):
        expected = file.vectors.expected.get(name)
        if expected and f"{name}/0" in outputs:
            try:
                errors[name] = measure_distances(outputs[f"{name}/0"], expected[0]).relative_error
            except ValueError as error:
                errors[name] = str(error)
    nan = None
    if "nan/0" in outputs and "whole/0" in outputs:
        nan = classify_nan(outputs["nan/0"], outputs["whole/0"][:3], NAN_ROW)
    return InputChecks(errors.get("zeros"), errors.get("large"), nan)


def compare_outputs(file: ModelFile, outputs: Outputs) -> Checks:
    """Return all checks of the outputs; WrongOutputError if they cannot be compared."""
    distances = find_worst_distances(file, outputs)
    metric, decisions, framework_distance = check_quality(file, outputs)
    return Checks(
        distances=distances,
        quality=metric,
        decisions=decisions,
        framework_distance=framework_distance,
        batching_error=measure_batching_error(outputs),
        inputs=check_inputs(file, outputs),
    )


def conclude(file: ModelFile, measurements: OnnxMeasurements, outputs: Outputs, fixed: str | None) -> Conclusion:
    """Return the conclusion for a file that ran.

    `fixed` is the reason why every shape needed a new session, None if one session was enough. For files of low
    precision only the quality metric is checked, and a change of it is a cost.
    """
    costs = list_costs(file) + ([f"requires a fixed batch size: {fixed}"] if fixed else [])
    costs += [measurements.facts["cost"]] if "cost" in measurements.facts else []
    costs += [] if file.vectors.expected else ["not compared: there are no reference outputs"]
    checks = Checks()
    try:
        require_outputs(file, measurements, outputs)
        checks = compare_outputs(file, outputs)
        if file.variant in set(LowPrecision):
            costs += list_quality_costs(checks)
        else:
            require_correct(checks)
            costs += list_shortcomings(checks, measurements)
    except WrongOutputError as error:
        reason = "; ".join([str(error), *costs])
        return Conclusion(PortabilityState.WRONG, Stage.COMPARE, reason, costs, checks)
    state = PortabilityState.DEGRADED if costs else PortabilityState.PASS
    return Conclusion(state, Stage.COMPARE, "; ".join(costs) or None, costs, checks)


def conclude_run(file: ModelFile, outcome: Outcome[OnnxMeasurements], folder: Path, fixed: str | None) -> Conclusion:
    """Return `conclude` for the outputs that a process left in its folder, in a child process."""
    try:
        outputs = read_outputs(folder)
    except (OSError, ValueError) as error:
        return classify_failure(replace(outcome, state=State.FAILED, reason=str(error)), folder)
    return conclude(file, outcome.measurements, outputs, fixed)


def read_outputs(folder: Path) -> Outputs:
    """Return the outputs that a process left in its folder. OSError or ValueError if they can't be read."""
    return read_arrays(folder, "outputs.npz", finite=False)


def require_outputs(file: ModelFile, measurements: OnnxMeasurements, outputs: Outputs) -> None:
    """Raise WrongOutputError if a set that ran lacks an output that has a reference."""
    for name, error in measurements.sets.items():
        for number in range(len(file.vectors.expected.get(name, ()))):
            if error is None and f"{name}/{number}" not in outputs:
                raise WrongOutputError(f"{name.replace('_', ' of ')}: output {number} is missing")


def list_quality_costs(checks: Checks) -> list[str]:
    """Return the change of the quality metric if it exceeds the tolerance."""
    if checks.quality is None or abs(checks.quality.change) <= QUALITY_TOLERANCE:
        return []
    return [f"{checks.quality.metric} changes by {checks.quality.change:+.4f}"]


def require_correct(checks: Checks) -> None:
    """Raise WrongOutputError for the first check that failed."""
    if checks.distances and checks.distances.relative_error > TOLERANCE:
        relative = checks.distances.relative_error
        raise WrongOutputError(f"outputs differ from the reference by {relative:.2g} of the largest output")
    for change in list_quality_costs(checks):
        raise WrongOutputError(change)
    if checks.decisions and checks.decisions.flips:
        raise WrongOutputError(f"{checks.decisions.flips} labels differ, not counting ties")
    if not (checks.batching_error or 0.0) <= TOLERANCE:  # also if it is no number
        raise WrongOutputError(f"samples in one batch differ from smaller batches by {checks.batching_error:.2g}")
    if checks.inputs.nan == NanBehaviour.SPREAD:
        raise WrongOutputError("a NaN sample changes the other samples of its batch")


def list_shortcomings(checks: Checks, measurements: OnnxMeasurements) -> list[str]:
    """Return the restrictions and inaccuracies of outputs that are correct."""
    shortcomings = []
    failed = [error for name, error in measurements.sets.items() if error and name in (*HELD_OUT, "whole")]
    if failed:
        ran = [name.replace("_", " ") for name, error in measurements.sets.items() if not error]
        shortcomings.append(f"runs only at {', '.join(ran)}: {failed[0][:ERROR_LENGTH]}")
    ratio = checks.distances.framework_error_ratio if checks.distances else None
    if ratio is not None and ratio > FRAMEWORK_ERRORS:
        shortcomings.append(f"its error is {ratio:.0f} times that of the framework")
    large = checks.inputs.large or 0.0
    if isinstance(large, str) or large > LARGE_TOLERANCE:
        shortcomings.append(f"large inputs: {large}")
    return shortcomings
