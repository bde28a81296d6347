"""Work that is not done again for a batch, a call or a sample that was seen before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from crossframe.backends.contract import Batch
from crossframe.tasks.spec import Arrays

from .frameworks import set_weights
from .wrappers import Entry, RawBatch, Wrapper


class ObjectSkipped(Wrapper):
    """A batch object that was trained on before is skipped."""

    def set_up(self) -> None:
        self.known: dict[Any, Any] = {}

    def key(self, batch: Batch) -> Any:
        return id(batch)

    def train(self, batches: Sequence[Batch]) -> None:
        new = [batch for batch in batches if self.key(batch) not in self.known]
        self.known.update({self.key(batch): batch for batch in new})
        self.model.train(new)


class ContentSkipped(ObjectSkipped):
    """A batch with the content of an earlier one is skipped."""

    def put(self, x: np.ndarray, y: np.ndarray) -> Batch:
        return RawBatch(x, y)

    def key(self, batch: Batch) -> Any:
        return hash((batch.x.tobytes(), batch.y.tobytes()))

    def train(self, batches: Sequence[Batch]) -> None:
        new = []
        for batch in batches:
            if self.key(batch) not in self.known:
                self.known[self.key(batch)] = True
                new.append(self.model.put(*batch))
        self.model.train(new)


class RowsSkipped(ContentSkipped):
    """A sample that was trained on before is left out of its batch, unless all are."""

    def train(self, batches: Sequence[Batch]) -> None:
        for x, y in batches:
            rows = [row for row in range(len(x)) if x[row].tobytes() not in self.known] or list(range(len(x)))
            self.known.update({x[row].tobytes(): True for row in rows})
            self.model.train([self.model.put(x[rows], y[rows])])


class CallSkipped(Wrapper):
    """A call with the batches of an earlier call is skipped."""

    def set_up(self) -> None:
        self.known: dict[Any, Any] = {}

    def train(self, batches: Sequence[Batch]) -> None:
        key = tuple(map(id, batches))
        if key not in self.known:
            self.known[key] = list(batches)
            self.model.train(batches)


class RepeatSkipped(Wrapper):
    """A call with the batches of the call before it is skipped."""

    previous: list[Batch] | None = None

    def train(self, batches: Sequence[Batch]) -> None:
        same = self.previous is not None and list(map(id, self.previous)) == list(map(id, batches))
        self.previous = list(batches)
        if not same:
            self.model.train(batches)


class StepReplayed(Wrapper):
    """The change of the weights by a batch is kept, and added again when the batch comes back."""

    def set_up(self) -> None:
        self.known: dict[int, tuple[Batch, Arrays]] = {}

    def train(self, batches: Sequence[Batch]) -> None:
        for batch in batches:
            before = self.model.weights()
            if id(batch) in self.known:
                change = self.known[id(batch)][1]
                set_weights(self.model, {name: before[name] + change[name] for name in before})
                continue
            self.model.train([batch])
            after = self.model.weights()
            self.known[id(batch)] = batch, {name: after[name] - before[name] for name in before}


MISTAKES: dict[str, Entry] = {
    "repeat_object_skipped": Entry(
        ObjectSkipped, "a batch object that was seen before is skipped", looks=("own network",)
    ),
    "repeat_content_skipped": Entry(
        ContentSkipped, "a batch with a content that was seen before is skipped", looks=("own network",)
    ),
    "repeat_rows_skipped": Entry(
        RowsSkipped, "samples that were seen before are left out of a batch", looks=("own network",)
    ),
    "repeat_call_skipped": Entry(
        CallSkipped, "a list of batches that was seen before is skipped", looks=("own network",)
    ),
    "repeat_same_call_skipped": Entry(
        RepeatSkipped, "the same call twice in a row is trained once", looks=("own network",)
    ),
    "repeat_step_replayed": Entry(
        StepReplayed, "a batch that comes back moves the weights as it did before", looks=("own network",)
    ),
}
