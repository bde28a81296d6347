"""What a file says of itself, in a process of its own: `python -m crossframe.harness.portability.inspect_model JOB`.

Provenance, validity, whether it stands alone, a census of its operators into subgraphs, and its signature. A hostile
file may bring onnx down too, hence the process.
"""

from __future__ import annotations

import hashlib
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper

from crossframe.harness.worker.lifecycle import main, said

LARGEST = 2**31 - 1  # bytes of a protobuf message
STANDARD = ("", "ai.onnx", "ai.onnx.ml")
TRAINING = ("ai.onnx.training", "ai.onnx.preview.training")
RECURRENT = ("LSTM", "GRU", "RNN")
LOOPS = ("Loop", "Scan")


def graphs(graph: GraphProto) -> Iterator[GraphProto]:
    """The graph and every subgraph in it, at any depth."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in [attribute.g] if attribute.type == AttributeProto.GRAPH else attribute.graphs:
                yield from graphs(inner)


def nodes(model: ModelProto) -> list[NodeProto]:
    inside = [node for graph in graphs(model.graph) for node in graph.node]
    return inside + [node for function in model.functions for node in function.node]


def external(model: ModelProto) -> list[str]:
    """Where the weights lie that are not in the file."""
    held = [tensor for graph in graphs(model.graph) for tensor in graph.initializer]
    held += [a.t for node in nodes(model) for a in node.attribute if a.type == AttributeProto.TENSOR]
    beside = [tensor for tensor in held if tensor.data_location == TensorProto.EXTERNAL]
    return sorted({entry.value for tensor in beside for entry in tensor.external_data if entry.key == "location"})


def leaves(folder: Path, location: str) -> bool:
    """Whether a path in a file points out of its folder, by its words or by a link; one from the root always does."""
    return Path(location).is_absolute() or not (folder / location).resolve().is_relative_to(folder.resolve())


def signature(values: Any) -> list[dict[str, Any]]:
    """[{name, dtype, shape}]: an axis is a number, a name or None where nothing is said; shape None: any rank."""
    told = []
    for value in values:
        kind = value.type.tensor_type
        axes = [
            axis.dim_value if axis.HasField("dim_value") else axis.dim_param or None
            for axis in kind.shape.dim
        ]  # fmt: skip
        dtype = str(helper.tensor_dtype_to_np_dtype(kind.elem_type)) if kind.elem_type else "not a tensor"
        told.append({"name": value.name, "dtype": dtype, "shape": axes if kind.HasField("shape") else None})
    return told


def census(model: ModelProto) -> dict[str, Any]:
    """Operators and where the weights of recurrent ones come from."""
    every = nodes(model)
    constants = {tensor.name for graph in graphs(model.graph) for tensor in graph.initializer}
    constants |= {node.output[0] for node in every if node.op_type == "Constant"}
    fed = {entry.name for entry in model.graph.input}
    recurrent = [node for node in every if node.op_type in RECURRENT]
    domains = {node.domain for node in every if node.domain not in STANDARD}
    own = {function.domain for function in model.functions}
    return {
        "operators": dict(Counter(node.op_type for node in every).most_common()),
        "foreign_domains": sorted(domains - own),
        "training_operators": sorted({n.op_type for n in every if n.domain in TRAINING or trains(n)}),
        "weights_not_constant": sorted({n.name or n.op_type for n in recurrent if set(n.input[1:3]) - constants}),
        "weights_as_inputs": sorted(fed & constants),
    }


def trains(node: NodeProto) -> bool:
    """Whether a node is in its training mode: a BatchNormalization that uses the batch, a Dropout told so."""
    modes = {a.name: a.i for a in node.attribute}
    if node.op_type == "BatchNormalization":
        return bool(modes.get("training_mode")) or len(node.output) > 1 or not modes.get("is_test", 1)
    return node.op_type == "Dropout" and len(node.input) > 2 and bool(node.input[2])


def provenance(path: Path, model: ModelProto) -> dict[str, Any]:
    return {
        "producer": f"{model.producer_name} {model.producer_version}".strip() or None,
        "opset": {entry.domain or "ai.onnx": entry.version for entry in model.opset_import},
        "ir_version": model.ir_version,
        "bytes": path.stat().st_size,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }


def problem(path: Path, model: ModelProto) -> str | None:
    """What the full check and strict shape inference find, in one line."""
    for check in (
        lambda: onnx.checker.check_model(str(path), full_check=True),
        lambda: onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True),
    ):
        try:
            check()
        except Exception as error:
            return said(error)
    return None


def work(job: dict[str, Any], folder: Path, measures: dict[str, Any]) -> None:
    path = Path(job["model"])
    size = path.stat().st_size
    if size > LARGEST:
        raise ValueError(f"{size:,} bytes: a protobuf ends at 2 GiB; larger weights belong into files beside it")
    model = onnx.load(path, load_external_data=False)
    if not model.graph.node or not model.opset_import:
        raise ValueError(f"no ONNX model, or one cut short: {size:,} bytes with no nodes or no opset in them")
    locations = external(model)
    out = [location for location in locations if leaves(path.parent, location)]
    gone = [location for location in locations if location not in out and not (path.parent / location).is_file()]
    measures |= {
        "provenance": provenance(path, model),
        "external": {"files": locations, "outside": out, "missing": gone},
        "census": census(model),
        "inputs": signature(v for v in model.graph.input if v.name not in {t.name for t in model.graph.initializer}),
        "outputs": signature(model.graph.output),
        # Not asked where the weights lie elsewhere: it would read them.
        "problem": problem(path, model) if not out and not gone else "weights that are not there can't be checked",
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]), work)
