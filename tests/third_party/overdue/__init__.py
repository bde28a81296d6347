"""The reference model with work that is not timed, or not done; the mode says which."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crossframe.backends.contract import Batch, Dialect
from crossframe.backends.reference.model import Model
from crossframe.tasks.spec import Arrays, Task

MODES = ("honest", "lazy", "skips")
DIALECT: Dialect = {}


class Lazy(Model):
    """The work is done when the weights are read."""

    waiting: Sequence[Batch] = ()

    def train(self, batches: Sequence[Batch]) -> None:
        self.waiting = [*self.waiting, *batches]

    def weights(self) -> Arrays:
        super().train(self.waiting)
        self.waiting = ()
        return super().weights()


class Skips(Model):
    """A batch that was trained on before is skipped."""

    def __init__(self, task: Task, weights: Arrays, dtype: np.dtype) -> None:
        super().__init__(task, weights, dtype, {})
        self.known: dict[int, Batch] = {}

    def train(self, batches: Sequence[Batch]) -> None:
        super().train([batch for batch in batches if id(batch) not in self.known])
        self.known.update({id(batch): batch for batch in batches})


def prepare(task: Task, weights: Arrays, device: str, mode: str, precision: str) -> Model:
    match mode:
        case "lazy":
            return Lazy(task, weights, np.dtype(precision), {})
        case "skips":
            return Skips(task, weights, np.dtype(precision))
    return Model(task, weights, np.dtype(precision), {})
