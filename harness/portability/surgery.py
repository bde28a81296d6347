"""Cutting ONNX graphs: every tensor made visible, a graph cut short, one node alone."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from crossframe.tasks.spec import Arrays


def kinds(model: ModelProto) -> dict[str, int]:
    """Tensor -> element type, as far as shape inference finds it."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    every = [*graph.value_info, *graph.output, *graph.input]
    return {value.name: value.type.tensor_type.elem_type for value in every}


def tensors(model: ModelProto) -> list[str]:
    """What the nodes of the graph compute, in order."""
    return [name for node in model.graph.node for name in node.output if name]


def depending(model: ModelProto) -> set[str]:
    """The tensors that depend on what is fed, and not on weights alone."""
    found = {entry.name for entry in model.graph.input} - {tensor.name for tensor in model.graph.initializer}
    for node in model.graph.node:
        if found & set(node.input):
            found |= set(node.output)
    return found


def outputs(names: Iterable[str], types: dict[str, int]) -> list[ValueInfoProto]:
    return [helper.make_tensor_value_info(name, types.get(name) or TensorProto.FLOAT, None) for name in names]


def ending_in(model: ModelProto, names: list[str]) -> ModelProto:
    """The model with these tensors as its outputs, and no node that they do not need."""
    cut, wanted = ModelProto(), set(names)
    cut.CopyFrom(model)
    kept: list[NodeProto] = []
    for node in reversed(model.graph.node):
        if wanted & set(node.output):
            kept.append(node)
            wanted |= set(node.input) | captured(node)
    types = kinds(model)
    for field in (cut.graph.node, cut.graph.output, cut.graph.value_info):
        del field[:]
    cut.graph.node.extend(reversed(kept))
    cut.graph.output.extend(outputs(names, types))
    return cut


def captured(node: NodeProto) -> set[str]:
    """What the subgraphs of a node may take from around it."""
    inner = [graph for attribute in node.attribute for graph in (attribute.g, *attribute.graphs)]
    return {name for graph in inner for each in graph.node for name in {*each.input} | captured(each)}


def alone(model: ModelProto, node: NodeProto, values: Arrays, fed: set[str]) -> tuple[ModelProto, Arrays]:
    """(a model of this node, what to feed it): inputs that depend on what was fed are fed, others are constants."""
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    known = weights | values
    names = [name for name in dict.fromkeys(node.input) if name]
    feeds = {name: known[name] for name in names if name in fed}
    constants = [numpy_helper.from_array(np.asarray(known[name]), name) for name in names if name not in fed]
    entries = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in feeds.items()
    ]
    found = [name for name in node.output if name]
    graph = helper.make_graph([node], "reproducer", entries, outputs(found, kinds(model)), constants)
    made = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    return made, feeds
