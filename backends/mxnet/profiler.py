"""Where the time of training goes, by MXNet's own profiler."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import mxnet as mx

from crossframe.backends.contract import Batch, Operator

if TYPE_CHECKING:
    from crossframe.backends.mxnet.model import Model


def operators(model: Model, batches: Sequence[Batch]) -> list[Operator]:
    """What MXNet's engine ran. Seconds of the engine's thread, which OpenMP's others may have helped."""
    if model.forward._active:
        # A graph's operators come to the engine in bulk, and the profiler sees the bulk: here, one by one.
        one_by_one = {"forward_bulk_size": 1, "backward_bulk_size": 1}
        model.forward.hybridize(static_alloc=True, static_shape=True, **one_by_one)
        model.train(batches)
        model.sync()
    with tempfile.TemporaryDirectory() as folder:
        mx.profiler.set_config(
            profile_symbolic=True, profile_imperative=True, aggregate_stats=True, filename=str(Path(folder) / "trace")
        )
        mx.profiler.set_state("run")
        model.train(batches)
        model.sync()
        mx.profiler.set_state("stop")
        told = json.loads(mx.profiler.dumps(reset=True, format="json"))
    assert told["Unit"]["Time"] == "ms", told["Unit"]
    return [(name, one["Count"], one["Total"] / 1e3) for name, one in told["Time"]["operator"].items()]
