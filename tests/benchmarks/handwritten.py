"""The speed of a backend compared with a handwritten loop in the same framework.

    <python of the backend> -m tests.benchmarks.handwritten torch [--task cnn] [--mode eager] [--rounds 9]
    <python of the backend> -m tests.benchmarks.handwritten torch --device cuda:0 --scale 16 --tuned

Both sides train on the same batches of 64 (times the scale) in float32, each in processes of its own, since their
thread pools would disturb each other in one process. The backend trains as in a job of `crossframe run`: batches are
copied before every epoch, and the model is evaluated and its weights are read after it. The loop does nothing between
its epochs. A round runs one side after the other, in alternating order, so that a drift of the machine affects both.
Prints the steps per second of both sides (medians), and the ratio of the
backend to the loop with a 95 % bootstrap interval. With --tuned the loop is what an expert of the framework would write
for speed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any, Protocol

import numpy as np

from crossframe.backends.contract import Batch, Model
from crossframe.harness.worker.epochs import train_epochs
from crossframe.harness.worker.measurements import TrainMeasurements
from crossframe.tasks import CORE, discover
from crossframe.tasks.spec import Task, initial_weights
from crossframe.tasks.widen import widen

SIDES = ("backend", "by hand")
EPOCH_STEPS = 22  # the length of an epoch of the digits
HELD_OUT = 360  # samples, as of the digits
TIMED_S, FEWEST, MOST = 2.0, 4, 80  # the duration of all timed epochs, and limits to their number


class Trainer(Protocol):
    """A model of a backend, or a handwritten loop."""

    def put(self, x: np.ndarray, y: np.ndarray) -> Batch:
        """Return a batch on the device."""

    def train(self, batches: Sequence[Batch]) -> None:
        """Do one update for each batch."""

    def sync(self) -> None:
        """Return when the device has finished."""


def draw_batches(task: Task, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return random batches of the right shapes."""
    generator = np.random.default_rng(0)
    batches = []
    for _ in range(count):
        x = generator.normal(size=(task.batch_size, *task.input_shape)).astype(np.float32)
        classes = {"binary_cross_entropy": 2, "softmax_cross_entropy": 10}.get(task.loss)
        batches.append((x, generator.integers(0, classes, task.batch_size) if classes else x))
    return batches


def time_training(trainer: Trainer, batches: list[Batch]) -> float:
    """Return the seconds of one pass over the batches."""
    begin = time.perf_counter()
    trainer.train(batches)
    trainer.sync()
    return time.perf_counter() - begin


def measure_speed(options: argparse.Namespace, task: Task) -> float:
    """Return the steps per second of one side: the median over its epochs, after warm-up."""
    task = replace(widen(task, options.scale), batch_size=64 * options.scale)
    batches = draw_batches(task, EPOCH_STEPS)
    if options.side == SIDES[0]:
        backend: Any = import_module(f"crossframe.backends.{options.backend}")
        model = backend.prepare(task, initial_weights(task, 0), options.device, options.mode[0], "float32")
        epochs_s = time_job(model, task, batches)
    else:
        loop = import_module(f"tests.benchmarks.loops.{options.backend}_loop").Loop
        trainer: Trainer = loop(options.task[0], options.scale, options.device, options.tuned)
        epochs_s = time_loop(trainer, batches)
    return EPOCH_STEPS / float(np.median(epochs_s[2:]))


def time_loop(trainer: Trainer, batches: list[tuple[np.ndarray, np.ndarray]]) -> list[float]:
    """Return the seconds of the epochs of a loop."""

    def train() -> float:
        return time_training(trainer, [trainer.put(*batch) for batch in batches])

    first_s, second_s = train(), train()
    return [first_s, second_s, *(train() for _ in range(count_epochs(second_s)))]


def count_epochs(epoch_s: float) -> int:
    """Return how many epochs to time."""
    return min(max(FEWEST, round(TIMED_S / epoch_s)), MOST)


def time_job(model: Model, task: Task, batches: list[tuple[np.ndarray, np.ndarray]]) -> list[float]:
    """Return the seconds of the epochs of a job, each of `EPOCH_STEPS` steps."""
    x, y = (np.concatenate(parts) for parts in zip(*batches))
    order = np.arange(len(x)).reshape(1, EPOCH_STEPS, -1)
    data = {"x_train": x, "y_train": y, "x_test": x[:HELD_OUT], "y_test": y[:HELD_OUT], "order": order}
    epochs_s: list[float] = []
    for count in (2, None):
        repeated = np.repeat(order, count or count_epochs(epochs_s[-1]) + 1, axis=0)
        measurements = TrainMeasurements()
        train_epochs(model, task, {**data, "order": repeated}, measurements)
        epochs_s += [epoch.train_s * EPOCH_STEPS / epoch.steps for epoch in measurements.epochs[count is None :]]
    return epochs_s


def compare_sides(options: argparse.Namespace, task: str, mode: str) -> None:
    """Print the speeds of both sides, each measured in a new process in each round."""
    rounds = options.rounds
    speeds = np.zeros((rounds, 2))
    words = ["--task", task, "--mode", mode, "--scale", str(options.scale), "--device", options.device]
    words += ["--tuned"] if options.tuned else []
    for number in range(rounds):
        for side in (0, 1) if number % 2 else (1, 0):
            command = [sys.executable, "-m", "tests.benchmarks.handwritten", options.backend, *words]
            process = subprocess.run([*command, "--side", SIDES[side]], check=True, stdout=subprocess.PIPE, text=True)
            speeds[number, side] = float(process.stdout.split()[-1])
    ratios = speeds[:, 0] / speeds[:, 1]
    resampled = np.random.default_rng(0).choice(ratios, (2000, rounds))
    low, high = np.percentile(np.median(resampled, axis=1), [2.5, 97.5])
    backend_speed, loop_speed = np.median(speeds, axis=0)
    print(
        f"{options.backend:10s} {mode:15s} {task:12s} backend {backend_speed:9.1f}/s  by hand {loop_speed:9.1f}/s"
        f"  ratio {np.median(ratios):.2f} [{low:.2f}, {high:.2f}]",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("backend")
    parser.add_argument("--task", action="append", choices=CORE)
    parser.add_argument("--mode", action="append", help="default: every mode")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--scale", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--tuned", action="store_true")
    parser.add_argument("--side", choices=SIDES, help="measure one side only, and print its steps per second")
    options = parser.parse_args()
    if options.side:
        print(measure_speed(options, discover()[options.task[0]]["standard"]))
        return
    device = f"{len(os.sched_getaffinity(0))} processors" if options.device == "cpu" else options.device
    print(f"{device}, batch {64 * options.scale}, scale {options.scale}, float32{', tuned' * options.tuned}")
    for task in options.task or CORE:
        for mode in options.mode or import_module(f"crossframe.backends.{options.backend}").MODES:
            compare_sides(options, task, mode)


if __name__ == "__main__":
    main()
