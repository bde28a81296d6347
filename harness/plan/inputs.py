"""What every job of a task reads: data, initial weights and the order of batches, drawn once and stored as one file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from crossframe.harness.errors import Usage
from crossframe.harness.plan.plan import Cell, Job, Plan, task_of
from crossframe.tasks.data import load
from crossframe.tasks.spec import Task, initial_weights


def draw_order(samples: int, batch_size: int, epochs: int, seed: int) -> np.ndarray:
    """(epochs, steps, batch) rows of the training data: a new shuffle an epoch.

    A short last batch is left out, since it would make a compiled mode compile twice; the shuffle sees to it that
    other samples are left out each time.
    """
    generator = np.random.default_rng(seed)
    batch = min(batch_size, samples)
    steps = samples // batch
    order = np.stack([generator.permutation(samples)[: steps * batch] for _ in range(epochs)])
    return order.reshape(epochs, steps, batch)


def write_inputs(path: Path, task: Task, source: str | None, data_dir: Path | None, seed: int = 0) -> None:
    """Draw and store; loads with `allow_pickle=False`. `source` and `data_dir` as in `crossframe.tasks.data.load`.

    Usage where a batch is larger than the data: its samples a second would be counted, but not computed.
    """
    split = load(task, source, data_dir)
    if task.batch_size > len(split.x_train):
        raise Usage(f"{task.name}: a batch of {task.batch_size} is more than its {len(split.x_train)} training samples")
    weights = {f"weights/{name}": value for name, value in initial_weights(task, seed).items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        path,
        x_train=split.x_train,
        y_train=split.y_train,
        x_test=split.x_test,
        y_test=split.y_test,
        order=draw_order(len(split.x_train), task.batch_size, task.epochs, seed),
        **weights,  # type: ignore[arg-type]
    )


def inputs_of(folder: Path, cell: Cell, seed: int = 0) -> Path:
    """What a cell's jobs read: data, initial weights and order of batches, as a seed draws them."""
    return folder / "inputs" / f"{cell.task}-{cell.batch_size}{f'-seed{seed}' * (seed > 0)}.npz"


def draw(plan: Plan, folder: Path, cell: Cell, seed: int = 0) -> Path:
    """What `inputs_of` names, drawn if it is not there."""
    path = inputs_of(folder, cell, seed)
    if not path.exists():
        data_dir = plan.options["data_dir"]
        write_inputs(path, task_of(plan, cell), plan.options["data"], Path(data_dir) if data_dir else None, seed)
    return path


def seed_of(plan: Plan, job: Job) -> int:
    """The seeds take turns, so that a round is the same for every cell."""
    return (job.repeat - 1) % plan.options["seeds"]
