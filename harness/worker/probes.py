"""The probes of parity: short trainings, recorded so that the harness can compare them with the reference model."""

from __future__ import annotations

from dataclasses import dataclass

from crossframe.backends.contract import Model
from crossframe.tasks.spec import Arrays, Task

EPOCH = "first epoch"  # the name of the probe that trains on the real data of the task


@dataclass(frozen=True)
class Probe:
    """Training of `task` on `batches`, with a record of the weights after some updates and of outputs."""

    name: str
    task: Task
    batches: tuple[str, ...]  # names of batches in the archive of the probes
    weights_after: tuple[int, ...] = ()  # numbers of updates after which the weights are recorded
    outputs: bool = False  # record the outputs before each update
    twice: bool = False  # train a second time from the start, which must give the same


def name_second_pass(probe: Probe) -> str:
    """Return the name under which the traces of the second training of a probe are stored."""
    return f"{probe.name}, again"


def trace(probe: Probe, model: Model, batches: Arrays) -> Arrays:
    """Run a probe on a freshly prepared model; return `weights/<updates>/<parameter>` and `outputs/<updates>`.

    `batches` holds `<name>/x` and `<name>/y` for each batch of the probe.
    """
    traces: Arrays = {}

    def record_weights(updates: int) -> None:
        if updates in probe.weights_after:
            model.sync()
            traces.update({f"weights/{updates}/{name}": value for name, value in model.weights().items()})

    record_weights(0)
    last = max(probe.weights_after, default=0)
    for updates, name in enumerate(probe.batches):
        x, y = batches[f"{name}/x"], batches[f"{name}/y"]
        if probe.outputs:
            traces[f"outputs/{updates}"] = model.predict(x)
        if updates < last:
            model.train([model.put(x, y)])
            record_weights(updates + 1)
    return traces
