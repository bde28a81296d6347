"""Work that is done while the clock is not running."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from crossframe.backends.contract import Batch
from crossframe.tasks.spec import Arrays

from .wrappers import Entry, Wrapper, call_after


class TrainInPut(Wrapper):
    """`put` trains, `train` does nothing."""

    def put(self, x: np.ndarray, y: np.ndarray) -> Batch:
        batch = self.model.put(x, y)
        self.model.train([batch])
        return batch

    def train(self, batches: Sequence[Batch]) -> None:
        pass


class TrainLater(Wrapper):
    """`train` keeps the batches; another method, which is not timed, trains on them."""

    when: tuple[str, ...] = ()

    def set_up(self) -> None:
        self.waiting: list[Batch] = []

    def train(self, batches: Sequence[Batch]) -> None:
        self.waiting += batches

    def catch_up(self) -> None:
        waiting, self.waiting = self.waiting, []
        if waiting:
            self.model.train(waiting)

    def put(self, x: np.ndarray, y: np.ndarray) -> Batch:
        if "put" in self.when:
            self.catch_up()
        return self.model.put(x, y)

    def predict(self, x: np.ndarray) -> np.ndarray:
        if "predict" in self.when:
            self.catch_up()
        return self.model.predict(x)

    def weights(self) -> Arrays:
        if "weights" in self.when:
            self.catch_up()
        return self.model.weights()

    def save(self, path: Path) -> None:
        if "save" in self.when:
            self.catch_up()
        self.model.save(path)


class TrainInPredict(TrainLater):
    when = ("predict", "weights", "save")


class TrainInWeights(TrainLater):
    when = ("weights",)


class TrainInSave(TrainLater):
    when = ("save",)


class TrainInNextPut(TrainLater):
    when = ("put", "weights", "predict", "save")


class TrainInThread(Wrapper):
    """A thread trains; `sync` does not wait for it, everything else does."""

    thread: threading.Thread | None = None
    at_least_s = 0.0

    def train(self, batches: Sequence[Batch]) -> None:
        self.finish()
        self.thread = threading.Thread(target=self.work, args=(list(batches),))
        self.thread.start()

    def work(self, batches: list[Batch]) -> None:
        self.model.train(batches)
        self.model.sync()

    def finish(self) -> None:
        if self.thread is not None:
            self.thread.join()

    def sync(self) -> None:
        pass

    def weights(self) -> Arrays:
        self.finish()
        return self.model.weights()

    def predict(self, x: np.ndarray) -> np.ndarray:
        self.finish()
        return self.model.predict(x)

    def save(self, path: Path) -> None:
        self.finish()
        self.model.save(path)

    def load(self, path: Path) -> None:
        self.finish()
        self.model.load(path)

    def put(self, x: np.ndarray, y: np.ndarray) -> Batch:
        self.finish()
        return self.model.put(x, y)


class SyncWithTimeout(TrainInThread):
    """`sync` waits for half a millisecond at most."""

    def sync(self) -> None:
        if self.thread is not None:
            self.thread.join(0.0005)


class LazySteps(TrainInThread):
    """Only the first half of a call is finished at `sync`; a thread does the rest."""

    def train(self, batches: Sequence[Batch]) -> None:
        self.finish()
        half = len(batches) // 2
        self.model.train(batches[:half])
        self.model.sync()
        self.thread = threading.Thread(target=self.work, args=(list(batches[half:]),))
        self.thread.start()


class SyncEverySecond(Wrapper):
    """Every second `sync` does nothing."""

    syncs = 0

    def sync(self) -> None:
        self.syncs += 1
        if self.syncs % 2:
            self.model.sync()


class SlowAnswer(Wrapper):
    """`predict` returns an array that a thread fills a moment later, like a copy from a GPU without a barrier."""

    def predict(self, x: np.ndarray) -> np.ndarray:
        answer = np.zeros_like(self.model.predict(x[:1]), shape=(len(x), *self.task.output_shape()))

        def fill() -> None:
            time.sleep(0.001)
            answer[:] = self.model.predict(x)

        threading.Thread(target=fill).start()
        return answer


MISTAKES: dict[str, Entry] = {
    "clock_train_in_put": Entry(TrainInPut, "put trains, train does nothing", looks=("first epoch", "own network")),
    "clock_train_in_next_put": Entry(
        TrainInNextPut, "put, predict, weights or save train the batches of earlier calls"
    ),
    "clock_train_in_predict": Entry(TrainInPredict, "predict trains the batches of earlier calls"),
    "clock_train_in_weights": Entry(TrainInWeights, "weights trains the batches of earlier calls"),
    "clock_train_in_save": Entry(TrainInSave, "save trains the batches of earlier calls", looks=("gradient",)),
    "clock_train_in_thread": Entry(TrainInThread, "a thread trains, and sync does not wait for it"),
    "clock_sync_with_timeout": Entry(SyncWithTimeout, "sync waits for half a millisecond at most"),
    "clock_half_in_thread": Entry(LazySteps, "half of every call is trained after sync has returned"),
    "clock_no_barrier": Entry(
        call_after("sync", lambda self, model: None), "sync does nothing", frameworks=("mxnet", "jax"), tasks=("lstm",)
    ),
    "clock_barrier_sleeps": Entry(
        call_after("sync", lambda self, model: time.sleep(0.001)),
        "sync waits for a millisecond instead of the device",
        frameworks=("mxnet", "jax"),
        tasks=("lstm",),
    ),
    "clock_barrier_every_second": Entry(
        SyncEverySecond,
        "every second sync does nothing",
        frameworks=("mxnet", "jax"),
        tasks=("lstm",),
    ),
    "clock_answer_fills_later": Entry(SlowAnswer, "predict returns before its array is filled", looks=("forward",)),
}
