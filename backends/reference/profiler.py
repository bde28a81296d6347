"""Where the time of training goes, by Python's own profiler: NumPy has none."""

from __future__ import annotations

import cProfile
import pstats
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from crossframe.backends.contract import Batch, Operator

if TYPE_CHECKING:
    from crossframe.backends.reference.model import Model


def operators(model: Model, batches: Sequence[Batch]) -> list[Operator]:
    """Functions, by their own seconds: `layers.dense_backward`. The matrix products within count as the function's."""
    profiler = cProfile.Profile()
    profiler.runcall(model.train, batches)
    rows = []
    for (file, _, function), (_, calls, own_s, *_) in pstats.Stats(profiler).stats.items():  # type: ignore[attr-defined]
        rows.append((function if file == "~" else f"{Path(file).stem}.{function}", calls, own_s))
    return rows
