"""Is a backend as fast as the loop that one would write by hand in the same framework? Side by side, in turn.

    <the backend's python> -m tests.benchmarks.handwritten torch [--task cnn] [--mode eager] [--rounds 9]

Both train on the same batches of 64, each in processes of its own: in one process their thread pools get into each
other's way. A round is one after the other, the order changing from round to round, so that a drift of the machine
meets both. Printed: steps a second of both (medians) and the ratio ours to theirs, with a 95 % bootstrap interval.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from importlib import import_module
from typing import Any

import numpy as np

from tasks import discover
from tasks.spec import Task, initial_weights

SIDES = ("ours", "by hand")


def batches(task: Task, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    generator = np.random.default_rng(0)
    made = []
    for _ in range(count):
        x = generator.normal(size=(64, *task.input_shape)).astype(np.float32)
        classes = {"binary_cross_entropy": 2, "softmax_cross_entropy": 10}.get(task.loss)
        made.append((x, generator.integers(0, classes, 64) if classes else x))
    return made


def seconds(candidate: Any, put: list[Any]) -> float:
    begin = time.perf_counter()
    candidate.train(put)
    candidate.sync()
    return time.perf_counter() - begin


def speed(side: str, backend: str, task: Task, mode: str, round_s: float = 1.0) -> float:
    """Steps a second of one side, after as many again to warm up."""
    if side == "ours":
        candidate = import_module(f"backends.{backend}").prepare(task, initial_weights(task, 0), "cpu", mode, "float32")
    else:
        candidate = import_module(f"tests.benchmarks.loops.{backend}_loop").Loop(task.name)
    put = [candidate.put(*batch) for batch in batches(task, 22)]  # as many as an epoch of the digits has
    seconds(candidate, put)  # compile
    calls = max(1, round(round_s / seconds(candidate, put)))
    return calls * len(put) / [sum(seconds(candidate, put) for _ in range(calls)) for _ in range(2)][1]


def compare(backend: str, task: Task, mode: str, rounds: int) -> None:
    """Print the speeds of both sides, each round of each in a process of its own."""
    speeds = np.zeros((rounds, 2))
    for turn in range(rounds):
        for side in (0, 1) if turn % 2 else (1, 0):
            words = [backend, "--task", task.name, "--mode", mode, "--side", SIDES[side]]
            command = [sys.executable, "-m", "tests.benchmarks.handwritten", *words]
            speeds[turn, side] = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    ratios = speeds[:, 0] / speeds[:, 1]
    drawn_again = np.random.default_rng(0).choice(ratios, (2000, rounds))
    low, high = np.percentile(np.median(drawn_again, axis=1), [2.5, 97.5])
    ours_s, theirs_s = np.median(speeds, axis=0)
    print(
        f"{backend:10s} {mode:10s} {task.name:12s} ours {ours_s:9.1f}/s  by hand {theirs_s:9.1f}/s"
        f"  ratio {np.median(ratios):.2f} [{low:.2f}, {high:.2f}]",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("backend")
    parser.add_argument("--task", action="append", choices=sorted(discover()))
    parser.add_argument("--mode", action="append", help="default: every mode")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--side", choices=SIDES, help="measure one side, and print its steps a second alone")
    chosen = parser.parse_args()
    if chosen.side:
        task = discover()[chosen.task[0]]["standard"]
        print(speed(chosen.side, chosen.backend, task, chosen.mode[0]))
        return
    print(f"{len(os.sched_getaffinity(0))} processors, batch 64, float32")
    for task in chosen.task or sorted(discover()):
        for mode in chosen.mode or import_module(f"backends.{chosen.backend}").MODES:
            compare(chosen.backend, discover()[task]["standard"], mode, chosen.rounds)


if __name__ == "__main__":
    main()
