"""Tasks and their weights as ONNX files, written without any framework.

These files are the reference for the exporters, and a substitute where an exporter fails. Their `exporter` is `spec`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from crossframe.tasks import spec
from crossframe.tasks.spec import SHORTCUT, Arrays, Layer, Shape, Task, walk_chain

NAME = "spec"
OPSET = 17
# (first opset, the IR version introduced with it). A runtime refuses IR versions that are newer than itself, so each
# opset gets the oldest possible version. Below version 4, weights would have to be inputs.
IR_VERSIONS = ((21, 10), (19, 9), (15, 8), (12, 7), (11, 6), (10, 5), (0, 4))


AddLayer = Callable[["GraphBuilder", str, Any, Arrays, str], str]


class GraphBuilder:
    """The nodes and weights of a graph; each method returns the name of the tensor that it adds."""

    def __init__(self, opset: int, dtype: np.dtype) -> None:
        self.opset, self.dtype = opset, dtype
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add_constant(self, name: str, value: np.ndarray) -> str:
        """Add a weight."""
        self.constants.append(numpy_helper.from_array(np.array(value, order="C"), name))
        return name

    def add_constants(self, layer: str, values: Arrays) -> list[str]:
        """Add the weights of a layer."""
        return [self.add_constant(f"{layer}.{name}", value) for name, value in values.items()]

    def add_number(self, name: str, value: float) -> str:
        """Add a constant of the type of the weights."""
        return self.add_constant(name, np.array(value, self.dtype))

    def add_node(self, operator: str, name: str, inputs: list[str], **attributes: float | list[int]) -> str:
        """Add a node with one output."""
        self.nodes.append(helper.make_node(operator, inputs, [f"{name}.out"], name, **attributes))
        return f"{name}.out"

    def add_squeeze(self, name: str, x: str, axis: int) -> str:
        """Add a Squeeze, whose axes are an attribute before opset 13 and an input since."""
        if self.opset < 13:
            return self.add_node("Squeeze", name, [x], axes=[axis])
        return self.add_node("Squeeze", name, [x, self.add_constant(f"{name}.axes", np.array([axis]))])


def add_dense(graph: GraphBuilder, name: str, layer: spec.Dense, weights: Arrays, x: str) -> str:
    """Add a dense layer: (batch, inputs) -> (batch, units)."""
    return graph.add_node("Gemm", name, [x, *graph.add_constants(name, weights)])


def add_conv(graph: GraphBuilder, name: str, layer: spec.Conv2D, weights: Arrays, x: str) -> str:
    """Add a convolution: (batch, channels, height, width) -> (batch, filters, height, width)."""
    (above, below), (left, right) = layer.around
    return graph.add_node(
        "Conv",
        name,
        [x, *graph.add_constants(name, weights)],
        kernel_shape=[layer.size] * 2,
        pads=[above, left, below, right],
        strides=[layer.stride] * 2,
        dilations=[layer.dilation] * 2,
        group=layer.groups,
    )


def add_pool(graph: GraphBuilder, name: str, layer: spec.MaxPool2D, weights: Arrays, x: str) -> str:
    """Add a maximum over windows that do not overlap."""
    return graph.add_node("MaxPool", name, [x], kernel_shape=[layer.size] * 2, strides=[layer.size] * 2)


def add_average(graph: GraphBuilder, name: str, layer: spec.AveragePool2D, weights: Arrays, x: str) -> str:
    """Add a mean over windows that do not overlap."""
    return graph.add_node("AveragePool", name, [x], kernel_shape=[layer.size] * 2, strides=[layer.size] * 2)


def add_global_average(graph: GraphBuilder, name: str, layer: spec.GlobalAveragePool, weights: Arrays, x: str) -> str:
    """Add a mean over all positions: (batch, channels, height, width) -> (batch, channels)."""
    return graph.add_node("Flatten", name, [graph.add_node("GlobalAveragePool", f"{name}.mean", [x])])


def add_norm(graph: GraphBuilder, name: str, layer: spec.BatchNorm, weights: Arrays, x: str) -> str:
    """Add a batch normalization by the running statistics."""
    inputs = [x, *graph.add_constants(name, weights)]
    return graph.add_node("BatchNormalization", name, inputs, epsilon=layer.epsilon)


def add_activation(operator: str, attributes: Callable[[Any], dict[str, float]] = lambda layer: {}) -> AddLayer:
    """Return a function that adds an activation of one operator, whose `attributes` are those of a layer."""

    def add(graph: GraphBuilder, name: str, layer: Layer, weights: Arrays, x: str) -> str:
        return graph.add_node(operator, name, [x], **attributes(layer))

    return add


def add_silu(graph: GraphBuilder, name: str, layer: spec.SiLU, weights: Arrays, x: str) -> str:
    """Add x sigmoid(x)."""
    return graph.add_node("Mul", name, [x, graph.add_node("Sigmoid", f"{name}.sigmoid", [x])])


def add_gelu(graph: GraphBuilder, name: str, layer: spec.GELU, weights: Arrays, x: str) -> str:
    """Add x / 2 (1 + erf(x / sqrt(2))), or the approximation by tanh; ONNX has an operator since opset 20 only."""
    if layer.approximate:
        square = graph.add_node("Mul", f"{name}.square", [x, x])
        cubic = graph.add_node("Mul", f"{name}.cubic", [square, graph.add_number(f"{name}.c", 0.044715)])
        bend = graph.add_node("Add", f"{name}.bend", [cubic, graph.add_number(f"{name}.d", 1.0)])
        inner = graph.add_node("Mul", f"{name}.inner", [x, bend])
        operator, factor = "Tanh", math.sqrt(2 / math.pi)
    else:
        operator, inner, factor = "Erf", x, math.sqrt(0.5)
    scaled = graph.add_node("Mul", f"{name}.scaled", [inner, graph.add_number(f"{name}.factor", factor)])
    share = graph.add_node(operator, f"{name}.{operator.lower()}", [scaled])
    positive = graph.add_node("Add", f"{name}.positive", [share, graph.add_number(f"{name}.one", 1.0)])
    half = graph.add_node("Mul", f"{name}.half", [x, graph.add_number(f"{name}.half_number", 0.5)])
    return graph.add_node("Mul", name, [half, positive])


def add_flatten(graph: GraphBuilder, name: str, layer: spec.Flatten, weights: Arrays, x: str) -> str:
    """Add a layer that flattens all axes but the batch."""
    return graph.add_node("Flatten", name, [x])


def add_lstm(graph: GraphBuilder, name: str, layer: spec.LSTM, weights: Arrays, x: str) -> str:
    """Add an LSTM: (batch, steps, features) -> (batch, steps, units).

    The LSTM of ONNX takes steps first and has weights of shape (units, inputs), the gates i, o, f, c and two biases, of
    which the second is zero here.
    """
    w_x, w_h, b = (reorder_gates(weights[short])[np.newaxis] for short in ("w_x", "w_h", "b"))
    biases = np.concatenate([b, np.zeros_like(b)], axis=1)
    constants = {"W": w_x.transpose(0, 2, 1), "R": w_h.transpose(0, 2, 1), "B": biases}
    inputs = graph.add_constants(name, constants)
    steps_first = graph.add_node("Transpose", f"{name}.steps_first", [x], perm=[1, 0, 2])
    outputs = graph.add_node("LSTM", name, [steps_first, *inputs], hidden_size=layer.units)
    one_direction = graph.add_squeeze(f"{name}.one_way", outputs, 1)
    return graph.add_node("Transpose", f"{name}.batch_first", [one_direction], perm=[1, 0, 2])


def reorder_gates(parameter: np.ndarray) -> np.ndarray:
    """Reorder the gates of a parameter (..., 4H) from i, f, g, o to i, o, f, c; c is the name of g in ONNX."""
    i, f, g, o = np.split(parameter, 4, axis=-1)
    return np.concatenate([i, o, f, g], axis=-1)


def add_last_step(graph: GraphBuilder, name: str, layer: spec.LastStep, weights: Arrays, x: str) -> str:
    """Add the selection of the last step: (batch, steps, features) -> (batch, features)."""
    return graph.add_node("Gather", name, [x, graph.add_constant(f"{name}.index", np.array(-1))], axis=1)


# Layer -> (graph, name, layer, weights by their short names, input tensor) -> output tensor.
LAYERS: dict[type, AddLayer] = {
    spec.Dense: add_dense,
    spec.Conv2D: add_conv,
    spec.MaxPool2D: add_pool,
    spec.AveragePool2D: add_average,
    spec.GlobalAveragePool: add_global_average,
    spec.BatchNorm: add_norm,
    spec.ReLU: add_activation("Relu"),
    spec.LeakyReLU: add_activation("LeakyRelu", lambda layer: {"alpha": layer.slope}),
    spec.ELU: add_activation("Elu"),
    spec.Sigmoid: add_activation("Sigmoid"),
    spec.Tanh: add_activation("Tanh"),
    spec.Softplus: add_activation("Softplus"),
    spec.SiLU: add_silu,
    spec.GELU: add_gelu,
    spec.Flatten: add_flatten,
    spec.LSTM: add_lstm,
    spec.LastStep: add_last_step,
}


def add_chain(  # noqa: PLR0913  # a sequence of layers, and its input
    graph: GraphBuilder, layers: Sequence[Layer], shape: Shape, prefix: str, weights: Arrays, x: str
) -> str:
    """Add a sequence of layers for inputs of `shape`; `prefix` begins their names."""
    for name, layer, size in walk_chain(layers, shape, prefix):
        if isinstance(layer, spec.Residual):
            body = add_chain(graph, layer.body, size, f"{name}.", weights, x)
            shortcut = add_chain(graph, layer.shortcut, size, f"{name}.{SHORTCUT}.", weights, x)
            x = graph.add_node("Add", name, [body, shortcut])
        else:
            arrays = (*layer.parameters(size), *layer.buffers(size))
            x = LAYERS[type(layer)](graph, name, layer, {short: weights[f"{name}.{short}"] for short in arrays}, x)
    return x


def select_ir_version(opset: int) -> int:
    """Return the IR version for an opset."""
    return next(version for first, version in IR_VERSIONS if opset >= first)


def write_model(task: Task, weights: Arrays, opset: int = OPSET) -> onnx.ModelProto:
    """Return the network of a task, `x` (batch, *input_shape) -> `y` (batch, *output_shape), in the type of `weights`.

    `weights` are the parameters and the buffers. `opset` is 7 or later: before, Gemm did not broadcast.
    """
    dtype = next(iter(weights.values())).dtype
    graph = GraphBuilder(opset, dtype)
    add_chain(graph, task.layers, task.input_shape, "", weights, "x")
    graph.nodes[-1].output[0] = "y"
    element_type = helper.np_dtype_to_tensor_dtype(dtype)
    x, y = (
        helper.make_tensor_value_info(name, element_type, ["batch", *shape])
        for name, shape in (("x", task.input_shape), ("y", task.output_shape()))
    )
    return helper.make_model(
        helper.make_graph(graph.nodes, task.name, [x], [y], graph.constants),
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=select_ir_version(opset),
        producer_name=f"crossframe {NAME}",
    )
