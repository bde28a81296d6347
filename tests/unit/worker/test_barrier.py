"""The check of the barrier: no work that `sync` leaves is missed, and noise is not taken for it."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import pytest

from crossframe.backends.contract import Batch
from crossframe.backends.reference.model import Model
from crossframe.harness.selftest.known_costs import select_smallest_task
from crossframe.harness.worker.barrier import BARRIER, FEW_TRIES, MANY_TRIES, Leftover, combine, measure_unfinished
from crossframe.tasks.spec import Arrays, initial_weights
from tests.support.small_tasks import draw_samples

TASK = select_smallest_task()


class InThreads(Model):
    """The work of a call is divided among threads; `sync` does not wait, reading the weights does."""

    shares: tuple[float, ...] = (1.0,)
    threads: Sequence[threading.Thread] = ()

    def train(self, batches: Sequence[Batch]) -> None:
        self.finish()
        bounds = np.cumsum((0.0, *self.shares)) * len(batches)
        parts = [list(batches[round(start) : round(end)]) for start, end in pairwise(bounds)]
        self.threads = [threading.Thread(target=Model.train, args=(self, part)) for part in parts]
        for thread in self.threads:
            thread.start()

    def finish(self) -> None:
        for thread in self.threads:
            thread.join()

    def weights(self) -> Arrays:
        self.finish()
        return super().weights()


class FirstArray(InThreads):
    """`sync` waits for the first array alone."""

    shares = (0.2, 0.8)

    def sync(self) -> None:
        for thread in self.threads[:1]:
            thread.join()


class EverySecond(InThreads):
    """Every second `sync` waits."""

    calls = 0

    def sync(self) -> None:
        self.calls += 1
        if self.calls % 2:
            self.finish()


class InWeights(Model):
    """The work is done when the weights are read."""

    waiting: Sequence[Batch] = ()

    def train(self, batches: Sequence[Batch]) -> None:
        self.waiting = [*self.waiting, *batches]

    def weights(self) -> Arrays:
        super().train(self.waiting)
        self.waiting = ()
        return super().weights()


class Afterwards(Model):
    """A thread works after the `sync` of a training, for which nothing waits."""

    trained = False

    def train(self, batches: Sequence[Batch]) -> None:
        super().train(batches)
        self.trained = True

    def sync(self) -> None:
        if self.trained:
            threading.Thread(target=self.work, daemon=True).start()
        self.trained = False

    def work(self) -> None:
        end = time.thread_time() + 0.05
        while time.thread_time() < end:
            pass


class InChild(Model):
    """A child process works; reading the weights waits for it."""

    child: subprocess.Popen[bytes] | None = None

    def train(self, batches: Sequence[Batch]) -> None:
        script = (
            f"import time\nend = time.process_time() + {1e-4 * len(batches)}\nwhile time.process_time() < end: pass"
        )
        self.child = subprocess.Popen([sys.executable, "-I", "-S", "-c", script])

    def weights(self) -> Arrays:
        if self.child is not None:
            self.child.wait()
        return super().weights()


def measure(kind: type[Model]) -> float:
    """Return the share of the work that is left after `sync` of a model."""
    x, y = draw_samples(TASK, 3 * TASK.batch_size)
    batches = [(x[start::3], y[start::3]) for start in range(3)]
    return measure_unfinished(kind(TASK, initial_weights(TASK, 0), np.dtype("float32"), {}), batches, "cpu")


@pytest.mark.frameworks  # measures for seconds
def test_a_barrier_leaves_nothing() -> None:
    assert measure(Model) < BARRIER / 2


@pytest.mark.frameworks  # measures for seconds
@pytest.mark.parametrize("kind", [InThreads, FirstArray, EverySecond, InWeights, Afterwards, InChild])
def test_work_that_is_left_is_seen(kind: type[Model]) -> None:
    assert measure(kind) > BARRIER


NOISE: dict[str, Callable[[np.random.Generator], Leftover]] = {
    "another program delays half of the reads": lambda draw: Leftover(float(draw.random() < 0.5), 0.05, 0.05),
    "a collector of garbage runs in each twentieth": lambda draw: Leftover(*[float(draw.random() < 0.05)] * 3),
}


@pytest.mark.parametrize("noise", NOISE)
def test_noise_is_not_taken_for_work(noise: str) -> None:
    draw = np.random.default_rng(0)
    shares = [combine([NOISE[noise](draw) for _ in range(MANY_TRIES)], "cpu") for _ in range(1000)]
    assert np.mean(np.array(shares) > BARRIER) <= 0.01


@pytest.mark.parametrize("device", ["cpu", "cuda:0"])
@pytest.mark.parametrize("tries", [FEW_TRIES, MANY_TRIES])
def test_a_sync_that_waits_in_every_second_call_is_seen(tries: int, device: str) -> None:
    leftovers = [Leftover(0.9 * (number % 2), 0.9 * (number % 2), 0.9) for number in range(tries)]
    assert combine(leftovers, device) > BARRIER
