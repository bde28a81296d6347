"""The overhead that the harness adds to a training loop: `python -m tests.benchmarks.overhead`.

Steps of exactly 50 microseconds run in the worker's loop (`crossframe.harness.worker.epochs`) and in a bare loop,
alternately. Prints the ratio of the two times: the median and its 95 % interval over rounds.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from crossframe.backends.contract import Batch, FrameworkSettings, Model
from crossframe.harness.analysis.statistics import interval
from crossframe.harness.worker.epochs import train_epochs
from crossframe.harness.worker.measurements import TrainMeasurements
from crossframe.tasks import discover
from crossframe.tasks.spec import Arrays

STEP_S, STEPS, ROUNDS = 50e-6, 2000, 15


class ExactModel:
    """A model whose steps take `STEP_S` each and that computes nothing."""

    def put(self, x: np.ndarray, y: np.ndarray) -> Batch:
        """Return the batch as it is."""
        return x, y

    def train(self, batches: Sequence[Batch]) -> None:
        """Wait for `STEP_S` seconds for each batch."""
        for _ in batches:
            end = time.perf_counter() + STEP_S
            while time.perf_counter() < end:
                pass

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return zeros."""
        return np.zeros((len(x), 1), np.float32)

    def weights(self) -> Arrays:
        """Return no parameters."""
        return {}

    def buffers(self) -> Arrays:
        """Return no buffers."""
        return {}

    def sync(self) -> None:
        """Return at once: every step is complete when it returns."""

    def save(self, path: Path) -> None:
        """Write nothing."""

    def load(self, path: Path) -> None:
        """Read nothing."""

    def export_onnx(self, path: Path, opset: int) -> None:
        """Write nothing."""

    def placement(self) -> str:
        """Return the CPU."""
        return "cpu"

    def device_peak_bytes(self) -> int | None:
        """Return None: there is no allocator."""
        return None

    def device_reserved_bytes(self) -> int | None:
        """Return None: there is no allocator."""
        return None

    def settings(self) -> FrameworkSettings:
        """Return that nothing is known."""
        return FrameworkSettings(None, None)


if TYPE_CHECKING:
    _: type[Model] = ExactModel


def measure_ratio() -> float:
    """Return the time of an epoch in the worker's loop divided by that in a bare loop."""
    task = replace(discover()["circle"]["quick"], epochs=1)
    x, y = np.zeros((64, 2), np.float32), np.zeros(64, np.int64)
    order = np.zeros((1, STEPS, 64), np.int64)
    data: Arrays = {"x_train": x, "y_train": y, "x_test": x, "y_test": y, "order": order}
    measurements = TrainMeasurements()
    train_epochs(ExactModel(), task, data, measurements)
    (epoch,) = measurements.epochs
    model, batches = ExactModel(), [(x, y)] * epoch.steps
    begin = time.perf_counter()
    for batch in batches:
        model.train([batch])
    return epoch.train_s / (time.perf_counter() - begin)


def main() -> None:
    """Print the median ratio with its interval."""
    metric = interval([measure_ratio() for _ in range(ROUNDS)])
    print(
        f"worker / bare loop, {STEPS} steps of {STEP_S * 1e6:.0f} us, {ROUNDS} rounds: "
        f"{metric.value:.4f} [{metric.low:.4f}, {metric.high:.4f}]"
    )


if __name__ == "__main__":
    main()
