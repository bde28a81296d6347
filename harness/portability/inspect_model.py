"""The structure of an ONNX file, read by a program of its own.

`python -m crossframe.harness.portability.inspect_model FOLDER` is a separate process because a malicious file may crash
onnx.
"""

from __future__ import annotations

import hashlib
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper

from crossframe.harness.portability.jobs import InspectJob, InspectMeasurements
from crossframe.harness.records.portability import Census, ExternalData, ModelStructure, Provenance, TensorInfo
from crossframe.harness.worker.failures import summarize_error
from crossframe.harness.worker.lifecycle import run_job

LARGEST_BYTES = 2**31 - 1  # of a protobuf message
STANDARD_DOMAINS = ("", "ai.onnx", "ai.onnx.ml")
TRAINING_DOMAINS = ("ai.onnx.training", "ai.onnx.preview.training")
RECURRENT_OPERATORS = ("LSTM", "GRU", "RNN")


def walk_graphs(graph: GraphProto) -> Iterator[GraphProto]:
    """Yield the graph and its subgraphs at any depth."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for subgraph in [attribute.g] if attribute.type == AttributeProto.GRAPH else attribute.graphs:
                yield from walk_graphs(subgraph)


def list_nodes(model: ModelProto) -> list[NodeProto]:
    """Return the nodes of all graphs and functions."""
    nodes = [node for graph in walk_graphs(model.graph) for node in graph.node]
    return nodes + [node for function in model.functions for node in function.node]


def list_external_files(model: ModelProto) -> list[str]:
    """Return the paths of the weights that are stored outside the file."""
    tensors = [tensor for graph in walk_graphs(model.graph) for tensor in graph.initializer]
    tensors += [a.t for node in list_nodes(model) for a in node.attribute if a.type == AttributeProto.TENSOR]
    external = [tensor for tensor in tensors if tensor.data_location == TensorProto.EXTERNAL]
    return sorted({entry.value for tensor in external for entry in tensor.external_data if entry.key == "location"})


def leaves_folder(folder: Path, location: str) -> bool:
    """Return whether a path in a file points outside its folder, also by a link; absolute paths always do."""
    return Path(location).is_absolute() or not (folder / location).resolve().is_relative_to(folder.resolve())


def find_external_data(model: ModelProto, folder: Path) -> ExternalData:
    """Return the external weights of a model in `folder`."""
    files = list_external_files(model)
    outside = [location for location in files if leaves_folder(folder, location)]
    missing = [location for location in files if location not in outside and not (folder / location).is_file()]
    return ExternalData(files, outside, missing)


def read_signature(values: Iterable[ValueInfoProto]) -> list[TensorInfo]:
    """Return the declared inputs or outputs."""
    tensors = []
    for value in values:
        kind = value.type.tensor_type
        shape: list[int | str | None] = [
            axis.dim_value if axis.HasField("dim_value") else axis.dim_param or None for axis in kind.shape.dim
        ]
        dtype = str(helper.tensor_dtype_to_np_dtype(kind.elem_type)) if kind.elem_type else "not a tensor"
        tensors.append(TensorInfo(value.name, dtype, shape if kind.HasField("shape") else None))
    return tensors


def take_census(model: ModelProto) -> Census:
    """Count the operators and find the unusual ones."""
    nodes = list_nodes(model)
    constants = {tensor.name for graph in walk_graphs(model.graph) for tensor in graph.initializer}
    constants |= {node.output[0] for node in nodes if node.op_type == "Constant"}
    inputs = {entry.name for entry in model.graph.input}
    recurrent = [node for node in nodes if node.op_type in RECURRENT_OPERATORS]
    domains = {node.domain for node in nodes if node.domain not in STANDARD_DOMAINS}
    defined = {function.domain for function in model.functions}
    return Census(
        operators=dict(Counter(node.op_type for node in nodes).most_common()),
        foreign_domains=sorted(domains - defined),
        training_operators=sorted({n.op_type for n in nodes if n.domain in TRAINING_DOMAINS or is_training(n)}),
        weights_not_constant=sorted({n.name or n.op_type for n in recurrent if set(n.input[1:3]) - constants}),
        weights_as_inputs=sorted(inputs & constants),
    )


def is_training(node: NodeProto) -> bool:
    """Return whether a node is in training mode: BatchNormalization with batch statistics, or an active Dropout."""
    modes = {attribute.name: attribute.i for attribute in node.attribute}
    if node.op_type == "BatchNormalization":
        return bool(modes.get("training_mode")) or len(node.output) > 1 or not modes.get("is_test", 1)
    return node.op_type == "Dropout" and len(node.input) > 2 and bool(node.input[2])


def read_provenance(path: Path, model: ModelProto) -> Provenance:
    """Return the origin of the model in the file `path`."""
    return Provenance(
        producer=f"{model.producer_name} {model.producer_version}".strip() or None,
        opset={entry.domain or "ai.onnx": entry.version for entry in model.opset_import},
        ir_version=model.ir_version,
        bytes=path.stat().st_size,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )


def find_problem(path: Path, model: ModelProto) -> str | None:
    """Return the first error of the full check or of strict shape inference, in one line; None if there is none."""
    checks: tuple[Callable[[], object], ...] = (
        partial(onnx.checker.check_model, str(path), full_check=True),
        partial(onnx.shape_inference.infer_shapes, model, check_type=True, strict_mode=True, data_prop=True),
    )
    for check in checks:
        try:
            check()
        except Exception as error:
            return summarize_error(error)
    return None


def read_structure(path: Path) -> ModelStructure:
    """Return the structure of the file `path`; ValueError if it is too large or not an ONNX model."""
    size = path.stat().st_size
    if size > LARGEST_BYTES:
        raise ValueError(f"{size:,} bytes: a protobuf is limited to 2 GiB; store larger weights in external files")
    model = onnx.load(path, load_external_data=False)
    if not model.graph.node or not model.opset_import:
        raise ValueError(f"not an ONNX model, or truncated: its {size:,} bytes contain no nodes or no opset")
    external = find_external_data(model, path.parent)
    # The checker reads external weights, which must not happen outside the folder.
    checkable = not external.outside and not external.missing
    weights = {tensor.name for tensor in model.graph.initializer}
    return ModelStructure(
        provenance=read_provenance(path, model),
        external=external,
        census=take_census(model),
        inputs=read_signature(entry for entry in model.graph.input if entry.name not in weights),
        outputs=read_signature(model.graph.output),
        problem=find_problem(path, model) if checkable else "not checked, since weights are missing",
    )


def inspect(job: InspectJob, folder: Path, measurements: InspectMeasurements) -> None:
    """Read the structure of the file of the job."""
    measurements.structure = read_structure(Path(job.model))


if __name__ == "__main__":
    run_job(InspectJob, inspect, Path(sys.argv[1]))
