"""TODO: say what this module is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crossframe.harness.parity.probe_design import draw_batches, probes
from crossframe.harness.worker.probes import Probe
from crossframe.tasks.spec import Arrays, Task


@dataclass(frozen=True)
class Question:
    """What is asked about one task: its probes, and the arrays that they need, as a file that every backend reads."""

    task: Task
    probes: list[Probe]
    inputs: Path  # of the run: data, weights, order of batches
    path: Path  # of the probes

    @property
    def size(self) -> tuple[int, int]:
        """How many trainings (each may have to be compiled) of how many parameters: which question takes longer."""
        trainings = sum(1 for probe in self.probes if max(probe.weights_after, default=0))
        return trainings, sum(math.prod(shape) for shape in self.task.parameters().values())

    def arrays(self) -> Arrays:
        with np.load(self.path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}


def ask(task: Task, inputs: Path, folder: Path, every_optimizer: bool, seed: int = 0) -> Question:
    """The question about `task`, from a run's inputs (data, weights, order of batches)."""
    with np.load(inputs, allow_pickle=False) as data:
        order = data["order"][0]
        batches = draw_batches(task, data["x_train"], data["y_train"], order, seed)
        weights = {name: data[name] for name in data.files if name.startswith("weights/")}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{task.name}-{task.batch_size}.npz"
    np.savez(path, **batches, **weights)  # type: ignore[arg-type]
    return Question(task, probes(task, len(order), every_optimizer), inputs, path.resolve())
