"""Conversion of a file to a lower precision by the tools of ONNX Runtime, as a program of its own.

`python -m crossframe.harness.portability.quantize FOLDER` leaves `model.onnx`. It is a separate process because the
tools print to the terminal and may crash.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import onnx
from onnxruntime.quantization import quantize_dynamic
from onnxruntime.transformers.float16 import convert_float_to_float16

from crossframe.harness.portability.jobs import LowPrecision, QuantizeJob, QuantizeMeasurements
from crossframe.harness.worker.lifecycle import run_job


def convert_to_float16(source: Path, target: Path) -> None:
    """Write `source` with weights and arithmetic in float16, and inputs and outputs as before."""
    model = convert_float_to_float16(onnx.load(source), keep_io_types=True)
    sort_nodes(model.graph)
    onnx.save(model, target)


def sort_nodes(graph: onnx.GraphProto) -> None:
    """Sort the nodes topologically, in place: the tool appends its casts, which the standard forbids."""
    producers = {name: node for node in graph.node for name in node.output}
    ordered: list[onnx.NodeProto] = []
    stack = list(reversed(graph.node))
    computed: set[str] = set()
    while stack:
        node = stack[-1]
        missing = [producers[name] for name in node.input if name in producers and name not in computed]
        if missing:
            stack += missing
        elif stack.pop().output[0] not in computed:
            ordered.append(node)
            computed |= set(node.output)
    del graph.node[:]
    graph.node.extend(ordered)


def convert_to_int8(source: Path, target: Path) -> None:
    """Write `source` with weights in int8 and activations quantized at run time."""
    model = onnx.load(source)
    del model.graph.value_info[:]  # the tool transposes weights and fails on the declarations of their old shapes
    quantize_dynamic(model, target)


CONVERTERS: dict[LowPrecision, Callable[[Path, Path], None]] = {
    LowPrecision.FLOAT16: convert_to_float16,
    LowPrecision.INT8: convert_to_int8,
}


def quantize(job: QuantizeJob, folder: Path, measurements: QuantizeMeasurements) -> None:
    """Convert the file of the job; ValueError if no weight changed its type."""
    source, target = Path(job.model), folder / "model.onnx"
    CONVERTERS[job.low_precision](source, target)
    before, after = ({t.name: t.data_type for t in onnx.load(path).graph.initializer} for path in (source, target))
    if before == after:
        raise ValueError(f"no weight became {job.low_precision}: the tool found no operator with constant weights")


if __name__ == "__main__":
    run_job(QuantizeJob, quantize, Path(sys.argv[1]))
