"""TODO: say what this module is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from crossframe.tasks.spec import Arrays, Task

EPOCH = "first epoch"


@dataclass(frozen=True)
class Probe:
    """Train `task` on `batches`, looking at the weights after so many updates, and at the outputs before each."""

    name: str
    task: Task
    batches: tuple[str, ...]  # names of batches in the inputs of the probes
    weights_after: tuple[int, ...] = ()
    outputs: bool = False
    twice: bool = False  # from the start again, which must give the same


def again_of(probe: Probe) -> str:
    """The name under which the traces of a probe's second time stand."""
    return f"{probe.name}, again"


def trace(probe: Probe, model: Any, batches: Arrays) -> Arrays:
    """`weights/<updates>/<parameter>` and `outputs/<updates>`: what the probe asks to see of its model, made afresh."""
    seen: Arrays = {}

    def look(updates: int) -> None:
        if updates in probe.weights_after:
            model.sync()
            seen.update({f"weights/{updates}/{name}": value for name, value in model.weights().items()})

    look(0)
    last = max(probe.weights_after, default=0)
    for updates, name in enumerate(probe.batches):
        x, y = batches[f"{name}/x"], batches[f"{name}/y"]
        if probe.outputs:
            seen[f"outputs/{updates}"] = model.predict(x)
        if updates < last:
            model.train([model.put(x, y)])
            look(updates + 1)
    return seen
