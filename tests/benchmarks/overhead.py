"""What the harness adds to a training loop: `python -m tests.benchmarks.overhead`.

Steps of exactly 50 microseconds, in the worker's own loop (`crossframe.harness.worker.epochs`) and in a bare one, in turns.
Prints the worker's time by the bare loop's, the median and its 95 % interval over rounds.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from crossframe.harness.analysis.statistics import interval
from crossframe.harness.worker.epochs import train
from crossframe.tasks import discover

STEP_S, STEPS, ROUNDS = 50e-6, 2000, 15


class Exact:
    """A model whose every step takes `STEP_S`."""

    def put(self, x: np.ndarray, y: np.ndarray) -> Any:
        return x, y

    def train(self, batches: Sequence[Any]) -> None:
        for _ in batches:
            end = time.perf_counter() + STEP_S
            while time.perf_counter() < end:
                pass

    def sync(self) -> None:
        pass

    def predict(self, x: np.ndarray) -> np.ndarray:
        return np.zeros((len(x), 1), np.float32)

    def weights(self) -> dict[str, np.ndarray]:
        return {}


def main() -> None:
    task = replace(discover()["circle"]["quick"], epochs=1)
    x, y = np.zeros((64, 2), np.float32), np.zeros(64, np.int64)
    order = np.zeros((1, STEPS, 64), np.int64)
    data = {"x_train": x, "y_train": y, "x_test": x, "y_test": y, "order": order}
    ratios = []
    for _ in range(ROUNDS):
        figures = train(Exact(), task, data)
        (epoch,) = figures["epochs"]
        model, batches = Exact(), [(x, y)] * epoch["steps"]
        begin = time.perf_counter()
        for batch in batches:
            model.train([batch])
        bare_s = time.perf_counter() - begin
        ratios.append(epoch["train_s"] / bare_s)
    found = interval(ratios)
    print(
        f"worker / bare loop, {STEPS} steps of {STEP_S * 1e6:.0f} us, {ROUNDS} rounds: "
        f"{found['value']:.4f} [{found['low']:.4f}, {found['high']:.4f}]"
    )


if __name__ == "__main__":
    main()
