"""The checks of `crossframe infer`: the answers of timed calls are compared with those of the reference model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from crossframe.harness.launch.leavings import read_arrays, require_shape
from crossframe.harness.parity.job_references import JobReference
from crossframe.harness.run.job_checks import judge_outputs, predict
from crossframe.harness.worker.archives import read_feeds
from crossframe.harness.worker.infer import ANSWERS
from crossframe.tasks.spec import Task


def check_answers(folder: Path, task: Task, inputs: Path, precision: str, batch_sizes: Sequence[int]) -> str | None:
    """Return what is wrong with the answers that a worker left in `folder`; None if nothing is.

    `inputs` is the archive with the data and the weights.
    """
    reference = JobReference(task, inputs, {}, precision)
    x_test = reference.data["x_test"]
    try:
        answers = read_arrays(folder, ANSWERS)
        for size in batch_sizes:
            rows = require_shape(answers, f"{size}/rows", (None, size))
            factors = require_shape(answers, f"{size}/factor", (len(rows),))
            outputs = require_shape(answers, f"{size}/outputs", (len(rows), size, *task.output_shape()))
            x = np.concatenate([x_test[row] * factor for row, factor in zip(rows, factors)])
            failure = compare_answers(f"timed predictions of {size} samples", outputs, x, reference)
            if failure:
                return failure
    except (OSError, ValueError, IndexError) as error:
        return f"its answers can't be checked: {error}"
    return None


def check_runtime_answers(folder: Path, task: Task, inputs: Path, feeds: Path) -> str | None:
    """Return what is wrong with the outputs that a runtime left in `folder` for the sets of `feeds`."""
    reference = JobReference(task, inputs, {}, "float32")
    try:
        outputs = read_arrays(folder, "outputs.npz")
        for name, entries in read_feeds(str(feeds)).items():
            x = entries["x"]
            answer = require_shape(outputs, f"{name}/0", (len(x), *task.output_shape()))
            failure = compare_answers(f"outputs for {len(x)} samples", answer, x, reference)
            if failure:
                return failure
    except (OSError, ValueError) as error:
        return f"its outputs can't be checked: {error}"
    return None


def compare_answers(name: str, outputs: np.ndarray, x: np.ndarray, reference: JobReference) -> str | None:
    """Return the failure of outputs for the inputs x, by the tolerances of a measured job; None if they are right."""
    prediction = predict(reference, reference.start, x)
    check = judge_outputs(name, outputs.reshape(prediction.expected.shape), prediction)
    return None if check.passed else f"{name}: {check.detail}"
