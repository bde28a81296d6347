"""The time of each operator in training, by TensorFlow's own profiler."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from crossframe.backends.contract import Batch, OperatorCost
from crossframe.backends.tensorflow.model import Model

HOST, GPU = "/host:CPU", "/device:GPU"
# Statistics that name an operator without a display name: XLA's kernel, the eager call, a GPU's kernel.
STATS = {HOST: ("hlo_op", "eager_op"), GPU: ("hlo_op", "tf_op")}


def profile(model: Model, batches: Sequence[Batch]) -> list[OperatorCost]:
    """Return kinds of operators (`_MklMatMul`), and XLA's fused kernels by its own names (`maximum_dot_fusion.1`).

    Times are those of the thread that ran each operator, which may have shared the work; in eager mode they include
    dispatch.
    """
    if model.mode == "graph":
        # After about 90 steps the executor knows which operators are quick and no longer traces those. In a new graph
        # it traces all of them.
        model.compile()
        model.train(batches)
        model.sync()
    calls: Counter[str] = Counter()
    picoseconds: Counter[str] = Counter()
    for name, duration_ps in list_events(trace(model, batches), HOST if model.device == "cpu" else GPU):
        calls[name] += 1
        picoseconds[name] += duration_ps
    return [OperatorCost(name, calls[name], picoseconds[name] / 1e12) for name in calls]


def trace(model: Model, batches: Sequence[Batch]) -> Any:
    """Return the trace of one `model.train(batches)`, an XSpace."""
    from tensorflow.tsl.profiler.protobuf.xplane_pb2 import XSpace  # the format of traces, shipped with TensorFlow

    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            model.train(batches)
            model.sync()
        (file,) = Path(folder).rglob("*.xplane.pb")
        return XSpace.FromString(file.read_bytes())


def list_events(trace: Any, plane_name: str) -> Iterator[tuple[str, int]]:
    """Yield (operator, picoseconds) of every call, on every thread or stream."""
    for plane in trace.planes:
        if plane.name.startswith(plane_name):
            for event in (event for line in plane.lines for event in line.events):
                name = find_operator(plane, event, STATS[plane_name])
                if name:
                    yield name, event.duration_ps


def find_operator(plane: Any, event: Any, keys: Sequence[str]) -> str | None:
    """Return the operator of an event; None for other events, and for functions and loops, which contain operators."""
    stats = {plane.stat_metadata[stat.metadata_id].name: stat for stat in event.stats}
    names = [plane.stat_metadata[stats[key].ref_value].name or stats[key].str_value for key in keys if key in stats]
    name = next(filter(None, [plane.event_metadata[event.metadata_id].display_name, *names]), "")
    return None if name.startswith(("__inference_", "while.", "call.", "conditional.")) else name or None
