"""ONNX export of a Gluon network, and repair of the file that MXNet's exporter writes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mxnet as mx
import numpy as np
import onnx
from mxnet.gluon import HybridBlock

from crossframe.backends.contract import Unsupported
from crossframe.backends.mxnet.precision import Arithmetic
from crossframe.tasks.spec import Task

OPSET = 13  # the newest that the exporter supports


def export_onnx(task: Task, network: HybridBlock, arithmetic: Arithmetic, path: Path, opset: int) -> None:
    """Write the network as one ONNX file with a free batch axis; Unsupported for another opset than 13."""
    if opset != OPSET:
        raise Unsupported(f"MXNet's exporter writes opset {OPSET}, not {opset}")
    parameters = {name: p.data() for name, p in network.collect_params().items()}
    symbol = network(mx.sym.var("x"))
    if arithmetic.compute_dtype:
        symbol = mx.sym.load_json(symbol.tojson(remove_amp_cast=True))  # the float32 network
    # The exporter reads weights by asnumpy, which makes an OpenMP team (see `share_memory` in model.py). The team ends
    # with its thread.
    with ThreadPoolExecutor(1) as executor:
        executor.submit(
            mx.onnx.export_model,
            symbol,
            parameters,
            [(2, *task.input_shape)],
            np.dtype(arithmetic.storage_dtype),
            str(path),
            dynamic=True,
            dynamic_input_shapes=[("batch", *task.input_shape)],
        ).result()
    onnx.save(fold_constants(repair(onnx.load(path), task)), path)


def repair(model: onnx.ModelProto, task: Task) -> onnx.ModelProto:
    """Correct the opset, the inputs and the output; operators and weights stay unchanged."""
    graph = model.graph
    # The exporter writes opset 13, but labels it as the newest of the installed onnx, where Split is different.
    model.opset_import[0].version, model.ir_version = OPSET, 7
    # The exporter lists weights as inputs too, so runtimes may not treat them as constants.
    for weight in [entry for entry in graph.input if entry.name != "x"]:
        graph.input.remove(weight)
    # The exporter does not name the output, and declares only the rank of its shape.
    last = next(node for node in graph.node if graph.output[0].name in node.output)
    last.output[0] = "y"
    kind = graph.output[0].type.tensor_type.elem_type
    graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("y", kind, ["batch", *task.output_shape()]))
    return model


def fold_constants(model: onnx.ModelProto) -> onnx.ModelProto:
    """Compute all nodes that depend on weights only; otherwise each run reorders the weights of an LSTM for ONNX."""
    from onnx.reference import ReferenceEvaluator  # imported late: training does not need it

    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer} | find_known_axes(model)
    for node in list(graph.node):
        if constants.keys() >= set(node.input):
            ends = [onnx.helper.make_empty_tensor_value_info(name) for name in node.output]
            single = onnx.helper.make_graph([node], "constant", [], ends, [constants[name] for name in node.input])
            part = onnx.helper.make_model(single, opset_imports=model.opset_import, ir_version=model.ir_version)
            values = ReferenceEvaluator(part).run(None, {})
            constants |= {name: onnx.numpy_helper.from_array(v, name) for name, v in zip(node.output, values)}
            graph.node.remove(node)
    computed = {name for node in graph.node for name in node.output}
    for node in graph.node:  # the node that computes a known axis stays if it computes unknown axes too
        node.input[:] = [f"{name}.known" if name in constants and name in computed else name for name in node.input]
    used = {name for node in graph.node for name in node.input}
    del graph.initializer[:]
    for name, tensor in constants.items():
        tensor.name = f"{name}.known" if name in computed else name
        if tensor.name in used:
            graph.initializer.append(tensor)
    return model


def find_known_axes(model: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
    """Return the parts of a Split of a Shape that are equal for every batch; the exporter slices weights by them."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    shapes = {value.name: value.type.tensor_type.shape.dim for value in (*graph.value_info, *graph.input)}
    shape_inputs = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Shape"}
    return {
        name: onnx.numpy_helper.from_array(np.array([axis.dim_value]), name)
        for node in graph.node
        if node.op_type == "Split" and node.input[0] in shape_inputs
        for name, axis in zip(node.output, shapes[shape_inputs[node.input[0]]])
        if axis.HasField("dim_value")
    }
