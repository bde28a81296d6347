"""Mistakes in calls of `train` with several batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from crossframe.backends.contract import Batch
from crossframe.backends.reference import optimizers as rules
from crossframe.tasks.spec import Arrays

from .frameworks import forget, set_weights
from .wrappers import Entry, Updater, Wrapper, change_calls

LOOKS = ("own network", "first epoch")


def shuffle(batches: list[Batch]) -> list[Batch]:
    order = np.random.default_rng(len(batches)).permutation(len(batches))
    return [batches[index] for index in order]


class ForgetPerCall(Wrapper):
    """State of the optimizer that lives as long as a call."""

    moments, counters = True, True

    def train(self, batches: Sequence[Batch]) -> None:
        forget(self.model, self.moments, self.counters)
        self.model.train(batches)


class ForgetCounterPerCall(ForgetPerCall):
    moments = False


class ForgetAfterLongCall(Wrapper):
    """A call of more than four batches ends with a new optimizer."""

    def train(self, batches: Sequence[Batch]) -> None:
        self.model.train(batches)
        if len(batches) > 4:
            forget(self.model)


class SchedulePerCall(Updater):
    """A schedule that counts calls."""

    calls = 0

    def train(self, batches: Sequence[Batch]) -> None:
        super().train(batches)
        self.calls += 1

    def rate(self) -> float:
        return rules.scheduled_rate(self.task, self.calls)


class CounterPerCall(Updater):
    """Corrections of Adam that count calls."""

    calls = 0

    def train(self, batches: Sequence[Batch]) -> None:
        self.calls += 1
        super().train(batches)

    def number(self) -> int:
        return self.calls


class OneGradientPerCall(Updater):
    """One update a call, with the mean of the gradients."""

    def train(self, batches: Sequence[Batch]) -> None:
        before = self.model.weights()
        parts = [self.gradient(*batch) for batch in batches]
        mean = {name: np.mean([part[name] for part in parts], axis=0) for name in before}
        set_weights(self.model, self.update(before, mean))


class AllFromOneStart(Updater):
    """Every batch of a call is trained from the same weights, and the results are averaged."""

    def train(self, batches: Sequence[Batch]) -> None:
        before = self.model.weights()
        ends = [self.update(before, self.gradient(*batch)) for batch in batches]
        set_weights(self.model, {name: np.mean([end[name] for end in ends], axis=0) for name in before})


class StaleGradients(Updater):
    """Within a call, each gradient is that of the weights before the previous update."""

    def train(self, batches: Sequence[Batch]) -> None:
        previous: Arrays | None = None
        for batch in batches:
            before = self.model.weights()
            set_weights(self.model, before if previous is None else previous)
            gradients = self.gradient(*batch)
            set_weights(self.model, self.update(before, gradients))
            previous = before


class PipelinedCalls(Wrapper):
    """Each batch is trained one step too late, and the last of a call with the next call."""

    waiting: list[Batch]

    def set_up(self) -> None:
        self.waiting = []

    def train(self, batches: Sequence[Batch]) -> None:
        ready = [*self.waiting, *batches]
        self.model.train(ready[:-1])
        self.waiting = ready[-1:]


class FirstOrder(Wrapper):
    """The batches of the first long call are kept and used in later calls, as by a cached data set."""

    kept: list[Batch]

    def set_up(self) -> None:
        self.kept = []

    def train(self, batches: Sequence[Batch]) -> None:
        if len(batches) > 1 and not self.kept:
            self.kept = list(batches)
        self.model.train(self.kept[: len(batches)] if len(batches) > 1 else batches)


class OneBuffer(Wrapper):
    """All batches lie in the same memory, so that each is the one that was put last."""

    buffer: Any = None

    def put(self, x: np.ndarray, y: np.ndarray) -> Batch:
        self.buffer = self.model.put(x, y)
        return None

    def train(self, batches: Sequence[Batch]) -> None:
        self.model.train([self.buffer for _ in batches])


MISTAKES: dict[str, Entry] = {
    "calls_shuffled": Entry(change_calls(shuffle), "the batches of a call are trained in another order", looks=LOOKS),
    "calls_reversed": Entry(
        change_calls(lambda b: b[::-1]), "a scan runs from the last batch to the first", looks=LOOKS
    ),
    "calls_first_skipped": Entry(
        change_calls(lambda b: b[1:] or b), "the first batch of a call warms up and does not count", looks=LOOKS
    ),
    "calls_last_lost": Entry(change_calls(lambda b: b[:-1] or b), "the last batch of a call is lost", looks=LOOKS),
    "calls_only_last": Entry(change_calls(lambda b: b[-1:]), "only the last batch of a call is trained", looks=LOOKS),
    "calls_only_first": Entry(change_calls(lambda b: b[:1]), "only the first batch of a call is trained", looks=LOOKS),
    "calls_first_repeated": Entry(
        change_calls(lambda b: b[:1] * len(b)), "a loop that repeats the first batch of its call", looks=LOOKS
    ),
    "calls_every_second": Entry(change_calls(lambda b: b[::2]), "every second batch of a call is trained", looks=LOOKS),
    "calls_swapped_pairs": Entry(
        change_calls(lambda b: [b[i ^ 1] if i ^ 1 < len(b) else b[i] for i in range(len(b))]),
        "two threads of a loader deliver pairs of batches the wrong way round",
        looks=LOOKS,
    ),
    "calls_last_repeated": Entry(
        change_calls(lambda b: b + b[-1:] * (2 ** (len(b) - 1).bit_length() - len(b))),
        "a stack padded to a power of two, and its padding is trained too",
        looks=LOOKS,
    ),
    "calls_limited_to_8": Entry(change_calls(lambda b: b[:8]), "a call trains eight batches at most", looks=LOOKS),
    "calls_duplicates_dropped": Entry(
        change_calls(lambda b: list({id(batch): batch for batch in b}.values())),
        "a batch that occurs twice in a call is trained once",
        looks=("own network",),
    ),
    "calls_twice": Entry(
        change_calls(lambda b: b if len(b) < 2 else b + b), "a long call is trained twice", looks=LOOKS
    ),
    "calls_all_forgotten": Entry(
        ForgetPerCall, "every call starts with a new optimizer", looks=("own network", "adam plain")
    ),
    "calls_counter_forgotten": Entry(
        ForgetCounterPerCall,
        "every call starts to count updates anew",
        looks=("own network", "adam plain", "sgd schedule"),
    ),
    "calls_schedule_counts_calls": Entry(
        SchedulePerCall, "the schedule counts calls instead of updates", looks=("own network", "sgd schedule")
    ),
    "calls_adam_counts_calls": Entry(
        CounterPerCall, "Adam's corrections count calls", looks=("own network", "adam plain")
    ),
    "calls_one_gradient": Entry(OneGradientPerCall, "gradients are accumulated over a call", looks=LOOKS),
    "calls_averaged": Entry(AllFromOneStart, "all batches of a call start from the same weights", looks=LOOKS),
    "calls_stale_gradients": Entry(StaleGradients, "gradients are one update old within a call", looks=LOOKS),
    "calls_pipelined": Entry(PipelinedCalls, "the last batch of a call waits for the next call", looks=LOOKS),
    "calls_first_order_kept": Entry(
        FirstOrder, "later epochs train on the batches of the first", looks=("own network",)
    ),
    "calls_one_buffer": Entry(OneBuffer, "every batch is the one that was put last", looks=LOOKS),
    "calls_state_by_number": Entry(
        ForgetAfterLongCall,
        "a call of more than four batches ends with a new optimizer",
        looks=("own network",),
    ),
}
