"""The time of each function in training, by Python's own profiler, since NumPy has none."""

from __future__ import annotations

import cProfile
import pstats
from collections.abc import Sequence
from pathlib import Path

from crossframe.backends.contract import Batch, OperatorCost
from crossframe.backends.reference.model import Model


def profile(model: Model, batches: Sequence[Batch]) -> list[OperatorCost]:
    """Return functions with their own times: `layers.dense_backward`, including its matrix products."""
    profiler = cProfile.Profile()
    profiler.runcall(model.train, batches)
    rows = []
    for (file, _, function), (_, calls, self_s, *_) in pstats.Stats(profiler).stats.items():  # type: ignore[attr-defined]
        rows.append(OperatorCost(function if file == "~" else f"{Path(file).stem}.{function}", calls, self_s))
    return rows
