"""Where the time of training goes, by TensorFlow's own profiler."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tensorflow as tf
from tensorflow.tsl.profiler.protobuf.xplane_pb2 import XSpace  # a trace's format, as TensorFlow ships it

from crossframe.backends.contract import Batch, Operator

if TYPE_CHECKING:
    from crossframe.backends.tensorflow.model import Model

HOST, GPU = "/host:CPU", "/device:GPU"
# What names an operator that the trace has no name for: XLA's kernel, the call that was made eagerly, a GPU's kernel.
STATS = {HOST: ("hlo_op", "eager_op"), GPU: ("hlo_op", "tf_op")}


def operators(model: Model, batches: Sequence[Batch]) -> list[Operator]:
    """Kinds of operators (`_MklMatMul`), and XLA's fused kernels by its own names (`maximum_dot_fusion.1`).

    Seconds of the thread that ran each, which may have shared the work with others; eagerly, with its dispatch.
    """
    if model.mode == "graph":
        # After some 90 steps the executor has found out which operators are quick, and traces those no more. In a graph
        # that is new it traces all of them.
        model.compile()
        model.train(batches)
        model.sync()
    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            model.train(batches)
            model.sync()
        (file,) = Path(folder).rglob("*.xplane.pb")
        trace = XSpace.FromString(file.read_bytes())
    calls: Counter[str] = Counter()
    picoseconds: Counter[str] = Counter()
    for name, taken in events(trace, HOST if model.device == "cpu" else GPU):
        calls[name] += 1
        picoseconds[name] += taken
    return [(name, calls[name], picoseconds[name] / 1e12) for name in calls]


def events(trace: Any, where: str) -> Iterator[tuple[str, int]]:
    """(operator, picoseconds) of every call, on every thread or stream."""
    for plane in trace.planes:
        if plane.name.startswith(where):
            for event in (event for line in plane.lines for event in line.events):
                name = operator(plane, event, STATS[where])
                if name:
                    yield name, event.duration_ps


def operator(plane: Any, event: Any, keys: Sequence[str]) -> str | None:
    """Its name; None for the trace's other events, and for a function or a loop, whose time is its operators'."""
    stats = {plane.stat_metadata[stat.metadata_id].name: stat for stat in event.stats}
    told = [plane.stat_metadata[stats[key].ref_value].name or stats[key].str_value for key in keys if key in stats]
    name = next(filter(None, [plane.event_metadata[event.metadata_id].display_name, *told]), "")
    return None if name.startswith(("__inference_", "while.", "call.", "conditional.")) else name or None
