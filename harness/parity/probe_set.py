"""The probes of one task, and the file with their batches and weights, which every backend reads."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crossframe.harness.files import write_atomically
from crossframe.harness.launch.leavings import ARRAYS_BYTES
from crossframe.harness.parity.optimizer_variants import OWN, is_optimizer_probe
from crossframe.harness.parity.probe_design import design_probes
from crossframe.harness.worker.probes import Probe
from crossframe.tasks.spec import Arrays, Task


def count_parameters(task: Task) -> int:
    """Return the number of parameters of a task, with those of its buffers."""
    return sum(math.prod(shape) for shape in task.arrays().values())


@dataclass(frozen=True)
class ProbeSet:
    """The probes of one task."""

    task: Task
    probes: list[Probe]
    inputs: Path  # of the run: data, weights, order of batches
    path: Path  # archive with the batches and weights of the probes
    epoch_steps: int  # updates in an epoch of the run; the probe of the first epoch may have fewer

    @property
    def every_optimizer(self) -> bool:
        """Whether it has the probes of all optimizers."""
        return any(is_optimizer_probe(probe) and not probe.name.startswith(OWN) for probe in self.probes)

    @property
    def cost(self) -> tuple[int, int]:
        """(number of trainings, number of parameters), which sorts probe sets by the time that they take.

        Trainings come first, since each of them may be compiled.
        """
        trainings = sum(1 for probe in self.probes if max(probe.weights_after, default=0))
        return trainings, count_parameters(self.task)

    @property
    def most_trace_bytes(self) -> int:
        """The most bytes that the traces of a backend may have: weights at every look in float64, and outputs."""
        weights = sum(
            (1 + probe.twice + 2 * (probe.saved_after is not None))
            * (len(probe.weights_after) + 1)
            * count_parameters(probe.task)
            for probe in self.probes
        )
        return ARRAYS_BYTES + 8 * weights

    def read_arrays(self) -> Arrays:
        """Return the batches and weights of the probes."""
        with np.load(self.path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}


def write_probe_set(task: Task, inputs: Path, folder: Path, every_optimizer: bool, seed: int = 0) -> ProbeSet:
    """Draw the batches of the probes of a task from the inputs of a run, write them into `folder`, return the set."""
    with np.load(inputs, allow_pickle=False) as stored:
        data = {name: stored[name] for name in ("x_train", "y_train", "order")}
        weights = {name: stored[f"weights/{name}"] for name in task.arrays()}
    probes, arrays = design_probes(task, data, weights, every_optimizer, seed)
    path = folder / f"{task.name}-{task.batch_size}.npz"
    write_atomically(path, arrays)
    return ProbeSet(task, probes, inputs, path.resolve(), len(data["order"][0]))
