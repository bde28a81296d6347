"""The inputs of the jobs of a task: data, initial weights and order of batches, drawn once and stored as one file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from crossframe.harness.errors import UsageError
from crossframe.harness.files import below, write_atomically
from crossframe.harness.plan.plan import Plan, task_for
from crossframe.harness.records.model import Cell, PlannedJob
from crossframe.tasks.data import load
from crossframe.tasks.spec import Task, initial_weights


def draw_order(samples: int, batch_size: int, epochs: int, seed: int) -> np.ndarray:
    """Return the order of the training samples: row numbers (epochs, steps, batch), shuffled for each epoch.

    An incomplete last batch is omitted, since a compiled mode would compile again for it. Because of the shuffle, each
    epoch omits other samples.
    """
    generator = np.random.default_rng(seed)
    batch = min(batch_size, samples)
    steps = samples // batch
    order = np.stack([generator.permutation(samples)[: steps * batch] for _ in range(epochs)])
    return order.reshape(epochs, steps, batch)


def write_inputs(path: Path, task: Task, source: str | None, data_dir: Path | None, seed: int = 0) -> None:
    """Draw the inputs of a task and write them to the archive `path`, which loads with `allow_pickle=False`.

    `source` and `data_dir` are those of `crossframe.tasks.data.load`. Raises UsageError if a batch is larger than the
    data: throughput would then count samples that are not computed.
    """
    split = load(task, source, data_dir)
    if task.batch_size > len(split.x_train):
        raise UsageError(
            f"{task.name}: the batch size {task.batch_size} exceeds the {len(split.x_train)} training samples"
        )
    weights = {f"weights/{name}": value for name, value in initial_weights(task, seed).items()}
    data = {
        "x_train": split.x_train,
        "y_train": split.y_train,
        "x_test": split.x_test,
        "y_test": split.y_test,
        "order": draw_order(len(split.x_train), task.batch_size, task.epochs, seed),
    }
    write_atomically(path, data | weights)


def inputs_path(folder: Path, cell: Cell, seed: int = 0) -> Path:
    """Return the path of the inputs of a cell in the folder of a run, as drawn with a seed."""
    return below(folder, "inputs", f"{cell.task}-{cell.batch_size}{f'-seed{seed}' * (seed > 0)}.npz")


def draw_inputs(plan: Plan, folder: Path, cell: Cell, seed: int = 0) -> Path:
    """Return `inputs_path`; draw the inputs first if the file does not exist."""
    path = inputs_path(folder, cell, seed)
    if not path.exists():
        data_dir = plan.options.data_dir
        write_inputs(path, task_for(plan, cell), plan.options.data, Path(data_dir) if data_dir else None, seed)
    return path


def seed_for(plan: Plan, job: PlannedJob) -> int:
    """Return the seed of a job: repeats cycle through the seeds, so that all cells of a repeat share one."""
    return (job.repeat - 1) % plan.options.seeds


def is_complete(plan: Plan, job: PlannedJob) -> bool:
    """Return whether a job trains to the end: the first with each seed does, others only as long as timing needs."""
    return job.repeat <= plan.options.seeds
