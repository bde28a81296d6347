"""Is a backend as fast as the loop that one would write by hand in the same framework? Side by side, in turn.

    <the backend's python> -m tests.benchmarks.handwritten torch [--task cnn] [--mode eager] [--rounds 9]
    <the backend's python> -m tests.benchmarks.handwritten torch --device cuda:0 --scale 16 --tuned

Both train on the same batches of 64 (times the scale) in float32, each in processes of its own: in one process their
thread pools get into each other's way. A round is one after the other, the order changing from round to round, so that
a drift of the machine meets both. Printed: steps a second of both (medians) and the ratio ours to theirs, with a 95 %
bootstrap interval. With --tuned the loop is the one that an expert of the framework would write for speed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np

from crossframe.tasks import discover
from crossframe.tasks.spec import Task, initial_weights
from crossframe.tasks.widen import widen

SIDES = ("ours", "by hand")


def batches(task: Task, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    generator = np.random.default_rng(0)
    made = []
    for _ in range(count):
        x = generator.normal(size=(task.batch_size, *task.input_shape)).astype(np.float32)
        classes = {"binary_cross_entropy": 2, "softmax_cross_entropy": 10}.get(task.loss)
        made.append((x, generator.integers(0, classes, task.batch_size) if classes else x))
    return made


def seconds(candidate: Any, put: list[Any]) -> float:
    begin = time.perf_counter()
    candidate.train(put)
    candidate.sync()
    return time.perf_counter() - begin


def speed(chosen: argparse.Namespace, task: Task, round_s: float = 1.0) -> float:
    """Steps a second of one side, after as many again to warm up."""
    task = replace(widen(task, chosen.scale), batch_size=64 * chosen.scale)
    if chosen.side == "ours":
        backend, weights = import_module(f"crossframe.backends.{chosen.backend}"), initial_weights(task, 0)
        candidate = backend.prepare(task, weights, chosen.device, chosen.mode[0], "float32")
    else:
        loop = import_module(f"tests.benchmarks.loops.{chosen.backend}_loop").Loop
        candidate = loop(chosen.task[0], chosen.scale, chosen.device, chosen.tuned)
    put = [candidate.put(*batch) for batch in batches(task, 22)]  # as many as an epoch of the digits has
    seconds(candidate, put)  # compile
    calls = max(1, round(round_s / seconds(candidate, put)))
    return calls * len(put) / [sum(seconds(candidate, put) for _ in range(calls)) for _ in range(2)][1]


def compare(chosen: argparse.Namespace, task: str, mode: str) -> None:
    """Print the speeds of both sides, each round of each in a process of its own."""
    rounds = chosen.rounds
    speeds = np.zeros((rounds, 2))
    words = ["--task", task, "--mode", mode, "--scale", str(chosen.scale), "--device", chosen.device]
    words += ["--tuned"] if chosen.tuned else []
    for turn in range(rounds):
        for side in (0, 1) if turn % 2 else (1, 0):
            command = [sys.executable, "-m", "tests.benchmarks.handwritten", chosen.backend, *words]
            done = subprocess.run([*command, "--side", SIDES[side]], check=True, stdout=subprocess.PIPE, text=True)
            speeds[turn, side] = float(done.stdout.split()[-1])
    ratios = speeds[:, 0] / speeds[:, 1]
    drawn_again = np.random.default_rng(0).choice(ratios, (2000, rounds))
    low, high = np.percentile(np.median(drawn_again, axis=1), [2.5, 97.5])
    ours_s, theirs_s = np.median(speeds, axis=0)
    print(
        f"{chosen.backend:10s} {mode:15s} {task:12s} ours {ours_s:9.1f}/s  by hand {theirs_s:9.1f}/s"
        f"  ratio {np.median(ratios):.2f} [{low:.2f}, {high:.2f}]",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("backend")
    parser.add_argument("--task", action="append", choices=sorted(discover()))
    parser.add_argument("--mode", action="append", help="default: every mode")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--scale", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--tuned", action="store_true")
    parser.add_argument("--side", choices=SIDES, help="measure one side, and print its steps a second alone")
    chosen = parser.parse_args()
    if chosen.side:
        print(speed(chosen, discover()[chosen.task[0]]["standard"]))
        return
    where = f"{len(os.sched_getaffinity(0))} processors" if chosen.device == "cpu" else chosen.device
    print(f"{where}, batch {64 * chosen.scale}, scale {chosen.scale}, float32{', tuned' * chosen.tuned}")
    for task in chosen.task or sorted(discover()):
        for mode in chosen.mode or import_module(f"crossframe.backends.{chosen.backend}").MODES:
            compare(chosen, task, mode)


if __name__ == "__main__":
    main()
