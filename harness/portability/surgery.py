"""Changes of ONNX graphs: other outputs, and single nodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from crossframe.tasks.spec import Arrays


def infer_element_types(model: ModelProto) -> dict[str, int]:
    """Return tensor -> element type, as far as shape inference determines it."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    values = [*graph.value_info, *graph.output, *graph.input]
    return {value.name: value.type.tensor_type.elem_type for value in values}


def list_computed_tensors(model: ModelProto) -> list[str]:
    """Return the outputs of all nodes, in order."""
    return [name for node in model.graph.node for name in node.output if name]


def find_input_dependent(model: ModelProto) -> set[str]:
    """Return the tensors that depend on the inputs of the model, not on weights only."""
    dependent = {entry.name for entry in model.graph.input} - {tensor.name for tensor in model.graph.initializer}
    for node in model.graph.node:
        if dependent & set(node.input):
            dependent |= set(node.output)
    return dependent


def declare_outputs(names: Iterable[str], types: Mapping[str, int]) -> list[ValueInfoProto]:
    """Return declarations for outputs of unknown shape."""
    return [helper.make_tensor_value_info(name, types.get(name) or TensorProto.FLOAT, None) for name in names]


def cut_at(model: ModelProto, names: Iterable[str]) -> ModelProto:
    """Return the model with the tensors `names` as its outputs, without nodes that they do not need."""
    cut, outputs = ModelProto(), list(names)
    needed = set(outputs)
    cut.CopyFrom(model)
    nodes: list[NodeProto] = []
    for node in reversed(model.graph.node):
        if needed & set(node.output):
            nodes.append(node)
            needed |= set(node.input) | find_captured(node)
    types = infer_element_types(model)
    for field in (cut.graph.node, cut.graph.output, cut.graph.value_info):
        del field[:]
    cut.graph.node.extend(reversed(nodes))
    cut.graph.output.extend(declare_outputs(outputs, types))
    return cut


def find_captured(node: NodeProto) -> set[str]:
    """Return the tensors that the subgraphs of a node may read from the graph around it."""
    subgraphs = [graph for attribute in node.attribute for graph in (attribute.g, *attribute.graphs)]
    return {name for graph in subgraphs for inner in graph.node for name in {*inner.input} | find_captured(inner)}


def isolate_node(model: ModelProto, node: NodeProto, values: Arrays, dependent: set[str]) -> tuple[ModelProto, Arrays]:
    """Return a model of one node, and its inputs.

    `values` holds the tensors of the model. Those in `dependent` become inputs, the others constants.
    """
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    arrays = weights | values
    names = [name for name in dict.fromkeys(node.input) if name]
    feeds = {name: arrays[name] for name in names if name in dependent}
    constants = [numpy_helper.from_array(np.asarray(arrays[name]), name) for name in names if name not in dependent]
    entries = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in feeds.items()
    ]
    outputs = declare_outputs([name for name in node.output if name], infer_element_types(model))
    graph = helper.make_graph([node], "reproducer", entries, outputs, constants)
    return helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version), feeds
