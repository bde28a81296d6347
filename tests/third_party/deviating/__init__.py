"""The reference model with a mistake for each mode that only the checks of measured jobs can find.

Each mode passes the probes of parity if these train one batch a call and read the weights after each.
"""

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from time import process_time
from typing import Any, ClassVar

import numpy as np

from crossframe.backends.contract import Batch, Dialect
from crossframe.backends.reference.model import Model as ReferenceModel
from crossframe.harness.worker import replays, timing
from crossframe.tasks.spec import Arrays, Task

MODES = (
    "honest", "drops_last", "trains_in_put", "tires", "knows_epochs", "knows_steps", "skips_seen", "skips_samples",
    "defers", "prepares_in_put", "answers_many_wrong", "answers_one_wrong", "answers_again", "answers_before_load",
    "answers_lazily", "slows_clock", "learns_in_evaluation", "stores_nothing", "foresees",
)  # fmt: skip
DIALECT: Dialect = {}
EXAMINED = 60  # updates after `prepare` or `load` during which a mode works honestly


def prepare(task: Task, weights: Arrays, device: str, mode: str, precision: str) -> "Model":
    if mode != "honest":
        replays.MOST_S = 0.0  # a mistake that is slow in every try would be tried for seconds
    if mode == "foresees":  # the cost of the computation ahead is part of no measurement
        ahead = Model(task, weights, np.dtype(precision), mode)
        inputs = np.load(json.loads(Path("job.json").read_text())["inputs"])
        for count, rows in enumerate(inputs["order"]):
            batches = [ahead.put(inputs["x_train"][row], inputs["y_train"][row]) for row in rows]
            for batch in batches[:2] if count == 0 else []:
                ahead.train([batch])
            ahead.train(batches[2:] if count == 0 else batches)
    if mode == "slows_clock":
        exact = timing.read_clock
        timing.read_clock = lambda: exact() / 2
    return Model(task, weights, np.dtype(precision), mode)


class LazyArray(np.ndarray):
    """An array that a framework could compute when it is read."""


class Model(ReferenceModel):
    """The reference model with the mistake of a mode."""

    memory: ClassVar[dict[tuple[bytes, bytes], Any]] = {}

    def __init__(self, task: Task, weights: Arrays, dtype: np.dtype, mode: str) -> None:
        self.mode = mode
        self.deferred: list[Batch] = []
        self.seen: list[Batch] = []
        self.samples: set[bytes] = set()
        self.done = self.done_since_load = 0
        self.answer: np.ndarray | None = None
        self.before: Arrays | None = None
        self.last: list[Batch] = []
        super().__init__(task, weights, dtype, {})

    def put(self, x: np.ndarray, y: np.ndarray) -> Batch:
        batch = super().put(x, y)
        if self.mode == "prepares_in_put" and not self.done:
            end = process_time() + 0.1
            while process_time() < end:
                pass
        if self.mode == "trains_in_put":
            super().train([batch])
        return batch

    def train(self, batches: Sequence[Batch]) -> None:
        self.before = None
        self.last = list(batches)
        several, examined = len(batches) > 1, self.done_since_load < EXAMINED
        self.done += len(batches)
        self.done_since_load += len(batches)
        match self.mode:
            case "drops_last" if several:
                batches = batches[:-1]
            case "trains_in_put":
                batches = []
            case "tires" if self.done > EXAMINED:
                batches = batches[::2]
            case "knows_epochs" if several and not examined:
                batches = batches[::8]
            case "knows_steps" if not several and not examined:
                batches = []
            case "skips_seen":
                batches = [batch for batch in batches if all(batch is not other for other in self.seen)]
                self.seen += batches
            case "skips_samples":
                batches = [self.select_new(*batch) for batch in batches]
            case "foresees" if self.foreseen(batches):
                return
            case "defers":
                self.deferred += batches
                batches = []
        super().train(batches)

    def select_new(self, x: np.ndarray, y: np.ndarray) -> Batch:
        """Leave out the samples that were trained on before, in whatever batch, unless all of them were."""
        new = [row for row in range(len(x)) if x[row].tobytes() not in self.samples] or list(range(len(x)))
        self.samples.update(x[row].tobytes() for row in new)
        return x[new], y[new]

    def foreseen(self, batches: Sequence[Batch]) -> bool:
        """Take the weights after batches that were seen before from memory, as if they had been computed ahead."""
        known = b"".join(x.tobytes() for x, _ in batches), b"".join(w.tobytes() for w in self.parameters.values())
        if known in Model.memory:
            self.parameters, self.state, self.updates = copy.deepcopy(Model.memory[known])
            return True
        ReferenceModel.train(self, batches)
        Model.memory[known] = copy.deepcopy((self.parameters, self.state, self.updates))
        return True

    def finish(self) -> None:
        """Do the work that was deferred."""
        deferred, self.deferred = self.deferred, []
        super().train(deferred)

    def predict(self, x: np.ndarray) -> np.ndarray:
        self.finish()
        if self.before is not None:  # that of the weights before the last `load`
            return ReferenceModel(self.task, self.before, self.dtype, {}).predict(x)
        outputs = super().predict(x)
        if self.mode == "answers_lazily":
            return outputs.view(LazyArray)
        if self.mode == "learns_in_evaluation" and len(x) > 100 and self.last:
            super().train(self.last)
        if self.mode == "answers_many_wrong" and len(x) > 100:
            outputs = outputs * 1.001
        if self.mode == "answers_one_wrong" and len(x) == 1:
            outputs = outputs.astype(np.float16).astype(self.dtype)
        if self.mode == "answers_again" and self.answer is not None and self.answer.shape == outputs.shape:
            return self.answer
        self.answer = outputs if len(x) == 1 else None
        return outputs

    def weights(self) -> Arrays:
        self.finish()
        return super().weights()

    def save(self, path: Path) -> None:
        self.finish()
        super().save(path)
        if self.mode == "stores_nothing":
            elsewhere = path.parent / f"{path.name}-elsewhere"
            elsewhere.mkdir(exist_ok=True)
            for file in path.iterdir():
                file.replace(elsewhere / file.name)

    def load(self, path: Path) -> None:
        self.deferred, self.done_since_load = [], 0
        before = super().weights()
        elsewhere = path.parent / f"{path.name}-elsewhere"
        super().load(elsewhere if elsewhere.exists() else path)
        self.before = before if self.mode == "answers_before_load" else None
