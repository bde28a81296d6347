"""The time of each operator in training, by MXNet's own profiler."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import mxnet as mx

from crossframe.backends.contract import Batch, OperatorCost
from crossframe.backends.mxnet.model import Model


def profile(model: Model, batches: Sequence[Batch]) -> list[OperatorCost]:
    """Return the operators of MXNet's engine with the times of its threads, which may have used OpenMP threads too."""
    if model.forward._active:
        # By default the engine receives a graph's operators in bulk, and the profiler times only the bulk.
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
        stats = json.loads(mx.profiler.dumps(reset=True, format="json"))
    assert stats["Unit"]["Time"] == "ms", stats["Unit"]
    operators = stats["Time"]["operator"]
    return [OperatorCost(name, row["Count"], row["Total"] / 1e3) for name, row in operators.items()]
