"""What MXNet's exporter leaves undone in an ONNX file."""

from __future__ import annotations

import numpy as np
import onnx

from crossframe.tasks.spec import Task

OPSET = 13  # the newest that the exporter knows


def finished(model: onnx.ModelProto, task: Task) -> onnx.ModelProto:
    """What the exporter leaves undone: no operator and no weight is touched."""
    graph = model.graph
    # It writes opset 13, but stamps the newest that the installed onnx has, where Split is another operator.
    model.opset_import[0].version, model.ir_version = OPSET, 7
    # It lists weights as inputs too, so that no runtime may take them for constants.
    for weight in [entry for entry in graph.input if entry.name != "x"]:
        graph.input.remove(weight)
    # It cannot name the output, nor say more of its shape than the rank.
    last = next(node for node in graph.node if graph.output[0].name in node.output)
    last.output[0] = "y"
    kind = graph.output[0].type.tensor_type.elem_type
    graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("y", kind, ["batch", *task.output_shape()]))
    return model


def folded(model: onnx.ModelProto) -> onnx.ModelProto:
    """With what follows from weights alone computed now: else an LSTM's are cut and put in ONNX's order at each run."""
    from onnx.reference import ReferenceEvaluator  # here, since training has no need of it

    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer} | known_axes(model)
    for node in list(graph.node):
        if constants.keys() >= set(node.input):
            ends = [onnx.helper.make_empty_tensor_value_info(name) for name in node.output]
            alone = onnx.helper.make_graph([node], "constant", [], ends, [constants[name] for name in node.input])
            part = onnx.helper.make_model(alone, opset_imports=model.opset_import, ir_version=model.ir_version)
            values = ReferenceEvaluator(part).run(None, {})
            constants |= {name: onnx.numpy_helper.from_array(v, name) for name, v in zip(node.output, values)}
            graph.node.remove(node)
    made = {name for node in graph.node for name in node.output}
    for node in graph.node:  # an axis is computed still, beside those that are not known before
        node.input[:] = [f"{name}.known" if name in constants and name in made else name for name in node.input]
    used = {name for node in graph.node for name in node.input}
    del graph.initializer[:]
    for name, tensor in constants.items():
        tensor.name = f"{name}.known" if name in made else name
        if tensor.name in used:
            graph.initializer.append(tensor)
    return model


def known_axes(model: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
    """The parts of a Split of a Shape that are the same for every batch: the exporter cuts weights by them."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    shapes = {value.name: value.type.tensor_type.shape.dim for value in (*graph.value_info, *graph.input)}
    whose = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Shape"}
    return {
        name: onnx.numpy_helper.from_array(np.array([axis.dim_value]), name)
        for node in graph.node
        if node.op_type == "Split" and node.input[0] in whose
        for name, axis in zip(node.output, shapes[whose[node.input[0]]])
        if axis.HasField("dim_value")
    }
