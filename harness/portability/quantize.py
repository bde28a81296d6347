"""A file in fewer bits, by onnxruntime's tools: `python -m crossframe.harness.portability.quantize JOB`, leaves `model.onnx`.

In a process of its own: the tools print, and may fail in as many ways as a runtime.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
from onnxruntime.quantization import quantize_dynamic
from onnxruntime.transformers.float16 import convert_float_to_float16

from crossframe.harness.worker.lifecycle import main


def float16(path: Path, to: Path) -> None:
    """Weights and arithmetic in float16, inputs and outputs as before."""
    model = convert_float_to_float16(onnx.load(path), keep_io_types=True)
    ordered(model.graph)
    onnx.save(model, to)


def ordered(graph: onnx.GraphProto) -> None:
    """Every node behind those that it needs: the tool puts its casts last, which the standard forbids."""
    makes = {name: node for node in graph.node for name in node.output}
    found: list[onnx.NodeProto] = []
    waiting = list(reversed(graph.node))
    done: set[str] = set()
    while waiting:
        node = waiting[-1]
        needed = [makes[name] for name in node.input if name in makes and name not in done]
        if needed:
            waiting += needed
        elif waiting.pop().output[0] not in done:
            found.append(node)
            done |= set(node.output)
    del graph.node[:]
    graph.node.extend(found)


def int8(path: Path, to: Path) -> None:
    """Weights in int8, activations quantized as they come."""
    model = onnx.load(path)
    del model.graph.value_info[:]  # the tool transposes weights, and trips over what is said of their old shape
    quantize_dynamic(model, to)


KINDS: dict[str, Callable[[Path, Path], None]] = {"float16": float16, "int8": int8}


def work(job: dict[str, Any], folder: Path, measures: dict[str, Any]) -> None:
    path, to = Path(job["model"]), folder / "model.onnx"
    KINDS[job["kind"]](path, to)
    before, after = ({t.name: t.data_type for t in onnx.load(each).graph.initializer} for each in (path, to))
    if before == after:
        raise ValueError(f"nothing in it became {job['kind']}: the tool found no operator with constant weights")


if __name__ == "__main__":
    main(Path(sys.argv[1]), work)
