"""The neutral writer: a task and its weights as an ONNX file, by no framework's exporter.

The oracle's file, and the fallback where an exporter fails. Its `exporter` is `spec`, and no framework is credited with
it. `model(task, weights, opset)` for opsets from 7 on, which is where Gemm learned to broadcast.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from crossframe.tasks import spec
from crossframe.tasks.spec import Arrays, Task

NAME = "spec"
OPSET = 17
# (first opset, IR version that was new with it): an older runtime refuses a newer IR, so never the newest.
IR_VERSIONS = ((21, 10), (19, 9), (15, 8), (12, 7), (11, 6), (10, 5), (0, 4))  # below 4 weights would have to be inputs


class Graph:
    """Nodes and weights under way; `add` returns the name of its first output."""

    def __init__(self, opset: int):
        self.opset = opset
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, value: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(np.array(value, order="C"), name))
        return name

    def add(self, operator: str, name: str, inputs: list[str], **attributes: Any) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [f"{name}.out"], name, **attributes))
        return f"{name}.out"

    def squeeze(self, name: str, x: str, axis: int) -> str:
        """Squeeze takes its axes as an attribute before opset 13, as an input since."""
        if self.opset < 13:
            return self.add("Squeeze", name, [x], axes=[axis])
        return self.add("Squeeze", name, [x, self.constant(f"{name}.axes", np.array([axis]))])


def dense(graph: Graph, name: str, layer: spec.Dense, p: Arrays, x: str) -> str:
    weights = [graph.constant(f"{name}.{short}", p[short]) for short in ("w", "b")]
    return graph.add("Gemm", name, [x, *weights])


def conv(graph: Graph, name: str, layer: spec.Conv2D, p: Arrays, x: str) -> str:
    weights = [graph.constant(f"{name}.{short}", p[short]) for short in ("w", "b")]
    return graph.add("Conv", name, [x, *weights], kernel_shape=[layer.size] * 2, pads=[layer.padding] * 4)


def pool(graph: Graph, name: str, layer: spec.MaxPool2D, p: Arrays, x: str) -> str:
    return graph.add("MaxPool", name, [x], kernel_shape=[layer.size] * 2, strides=[layer.size] * 2)


def lstm(graph: Graph, name: str, layer: spec.LSTM, p: Arrays, x: str) -> str:
    """Steps first inside; ONNX has units before inputs, the gates i, o, f, c and two biases, of which one is zero."""
    w_x, w_h, b = (reordered(p[short])[np.newaxis] for short in ("w_x", "w_h", "b"))
    both = np.concatenate([b, np.zeros_like(b)], axis=1)
    weights = [
        graph.constant(f"{name}.{short}", value)
        for short, value in (("W", w_x.transpose(0, 2, 1)), ("R", w_h.transpose(0, 2, 1)), ("B", both))
    ]
    steps_first = graph.add("Transpose", f"{name}.steps_first", [x], perm=[1, 0, 2])
    every = graph.add("LSTM", name, [steps_first, *weights], hidden_size=layer.units)
    return graph.add("Transpose", f"{name}.batch_first", [graph.squeeze(f"{name}.one_way", every, 1)], perm=[1, 0, 2])


def reordered(parameter: np.ndarray) -> np.ndarray:
    """(..., 4H), gates i, f, g, o -> i, o, f, g: the cell's g is ONNX's c."""
    i, f, g, o = np.split(parameter, 4, axis=-1)
    return np.concatenate([i, o, f, g], axis=-1)


def last_step(graph: Graph, name: str, layer: spec.LastStep, p: Arrays, x: str) -> str:
    return graph.add("Gather", name, [x, graph.constant(f"{name}.index", np.array(-1))], axis=1)


LAYERS: dict[type, Callable[[Graph, str, Any, Arrays, str], str]] = {
    spec.Dense: dense,
    spec.Conv2D: conv,
    spec.MaxPool2D: pool,
    spec.ReLU: lambda graph, name, layer, p, x: graph.add("Relu", name, [x]),
    spec.Flatten: lambda graph, name, layer, p, x: graph.add("Flatten", name, [x]),
    spec.LSTM: lstm,
    spec.LastStep: last_step,
}


def ir_version(opset: int) -> int:
    return next(version for first, version in IR_VERSIONS if opset >= first)


def write(task: Task, weights: Arrays, opset: int = OPSET) -> onnx.ModelProto:
    """The network, `x` (batch, *input_shape) -> `y` (batch, *output_shape), in the precision of the weights."""
    graph, last = Graph(opset), "x"
    for name, layer, shape in task.walk():
        own = {short: weights[f"{name}.{short}"] for short in layer.parameters(shape)}
        last = LAYERS[type(layer)](graph, name, layer, own, last)
    graph.nodes[-1].output[0] = "y"
    kind = helper.np_dtype_to_tensor_dtype(next(iter(weights.values())).dtype)
    x, y = (
        helper.make_tensor_value_info(name, kind, ["batch", *shape])
        for name, shape in (("x", task.input_shape), ("y", task.output_shape()))
    )
    made = helper.make_graph(graph.nodes, task.name, [x], [y], graph.constants)
    return helper.make_model(
        made,
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=ir_version(opset),
        producer_name=f"crossframe {NAME}",
    )
