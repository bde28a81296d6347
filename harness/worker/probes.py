"""The probes of parity: short trainings, recorded so that the harness can compare them with the reference model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from crossframe.backends.contract import Model
from crossframe.tasks.spec import Arrays, Task

EPOCH = "first epoch"  # the name of the probe that trains on the real data of the task
INITIAL = "weights"  # the set of weights that a run starts from

ChangeCall = Callable[[Sequence[str]], Sequence[str]]  # batches of a call -> those that are trained instead


@dataclass(frozen=True)
class Probe:
    """Training of `task` on `batches`, with a record of the weights after some updates and of outputs.

    All batches between two records go in one call of `train`, as in a measured job.
    """

    name: str
    task: Task
    batches: tuple[str, ...]  # names of batches in the archive of the probes
    weights_after: tuple[int, ...] = ()  # numbers of updates after which the weights are recorded, ascending
    outputs: bool = False  # record the outputs for a batch at each of these, and before the first update
    twice: bool = False  # train a second time from the start, which must give the same
    start: str = INITIAL  # the set of initial weights: a prefix in the archive
    inputs: tuple[str, ...] = ()  # names of inputs whose outputs are recorded before the first update
    saved_after: int | None = None  # updates after which a checkpoint is saved; one of `weights_after`
    precision: str | None = None  # the only precision that it applies to

    def output_batch(self, updates: int) -> str:
        """Return the name of the batch whose outputs are recorded after so many updates: the next one."""
        return self.batches[updates % len(self.batches)]

    def calls(self, begin: int = 0) -> Iterator[tuple[int, tuple[str, ...]]]:
        """Yield (number of updates after it, its batches) for each call of `train`, from `begin` updates on."""
        looks = [begin, *(updates for updates in self.weights_after if updates > begin)]
        for first, last in pairwise(looks):
            yield last, self.batches[first:last]


def name_second_pass(probe: Probe) -> str:
    """Return the name under which the traces of the second training of a probe are stored."""
    return f"{probe.name}, again"


def name_resumed(probe: Probe, single: bool = False) -> str:
    """Return the name under which the traces after the checkpoint of a probe are stored.

    `single` is for those of the training with one batch a call.
    """
    return f"{probe.name}, resumed" + (" in single steps" if single else "")


def select_start(arrays: Arrays, probe: Probe) -> Arrays:
    """Return the initial weights and buffers of a probe; an array that its set does not hold is that of the run."""
    start = {name: f"{probe.start}/{name}" for name in probe.task.arrays()}
    return {name: arrays[key if key in arrays else f"{INITIAL}/{name}"] for name, key in start.items()}


def read_inputs(arrays: Arrays, name: str) -> np.ndarray:
    """Return the inputs of a batch; those with `<name>/rows` repeat the rows of a smaller array."""
    x: np.ndarray = arrays[f"{name}/x"]
    return x[arrays[f"{name}/rows"]] if f"{name}/rows" in arrays else x


class Recorder:
    """The traces of a model in training: weights and buffers, outputs for a batch, and for one sample.

    Keys: `weights/<updates>/<parameter or buffer>`, `outputs/<updates>`, `outputs/<inputs>` and `same/<updates>`.
    """

    def __init__(self, probe: Probe, model: Model, batches: Arrays) -> None:
        self.probe, self.model, self.batches = probe, model, batches
        self.traces: Arrays = {}
        # The same array every time: outputs that were kept from an earlier call show.
        self.same = batches[f"{probe.batches[0]}/x"][:1]

    def record(self, updates: int) -> None:
        """Record what the probe asks for after so many updates."""
        if self.probe.outputs:
            x = self.batches[f"{self.probe.output_batch(updates)}/x"]
            self.traces[f"outputs/{updates}"] = self.model.predict(x)
            self.traces[f"same/{updates}"] = self.model.predict(self.same)
        if updates in self.probe.weights_after:
            self.model.sync()
            arrays = self.model.weights() | self.model.buffers()
            traced = {f"weights/{updates}/{name}": value for name, value in arrays.items()}
            self.traces.update(traced)

    def train(self, names: Sequence[str]) -> None:
        """Train on batches in one call."""
        parts = {name: self.model.put(self.batches[f"{name}/x"], self.batches[f"{name}/y"]) for name in names}
        self.model.train([parts[name] for name in names])  # a batch that comes twice is the same object


def trace(
    probe: Probe,
    model: Model,
    batches: Arrays,
    checkpoint: Path | None = None,
    change_call: ChangeCall | None = None,
) -> Arrays:
    """Run a probe on a freshly prepared model; return its traces.

    `batches` holds `<name>/x` and `<name>/y` for each batch of the probe. `change_call` makes a mistake on purpose.
    """
    recorder = Recorder(probe, model, batches)
    recorder.record(0)
    for name in probe.inputs:
        recorder.traces[f"outputs/{name}"] = model.predict(read_inputs(batches, name))
    for updates, names in probe.calls():
        recorder.train(change_call(names) if change_call else names)
        recorder.record(updates)
        if checkpoint is not None and updates == probe.saved_after:
            model.save(checkpoint)
    return recorder.traces


def resume(probe: Probe, model: Model, batches: Arrays, checkpoint: Path) -> tuple[Arrays, Arrays]:
    """Load the checkpoint of a probe into a freshly prepared model and train the rest, then once more from it.

    Returns the traces with the calls of the probe, and those with one batch a call.
    """
    assert probe.saved_after is not None
    model.load(checkpoint)
    in_calls = Recorder(probe, model, batches)
    in_calls.record(probe.saved_after)
    for updates, names in probe.calls(probe.saved_after):
        in_calls.train(names)
        in_calls.record(updates)
    model.load(checkpoint)  # into a model that has trained: nothing of that may be left
    singly = Recorder(probe, model, batches)
    for updates, names in probe.calls(probe.saved_after):
        for name in names:
            singly.train([name])
        singly.record(updates)
    return in_calls.traces, singly.traces
