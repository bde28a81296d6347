"""The spec's layers and losses in Gluon, and the conversion of each parameter."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from mxnet.gluon import HybridBlock, loss, nn, rnn

from crossframe.tasks import spec
from crossframe.tasks.spec import SHORTCUT, Layer, Shape, walk_chain


class Chain(nn.HybridSequential):
    """Blocks in sequence, each an attribute with a name."""

    def __init__(self, blocks: Mapping[str, HybridBlock]) -> None:
        super().__init__()
        for name, block in blocks.items():
            setattr(self, name, block)


class Residual(Chain):
    """x -> body(x) + shortcut(x): the blocks of the body, and last the shortcut."""

    def hybrid_forward(self, F: Any, x: Any) -> Any:  # noqa: N803  # the name in Gluon
        *body, shortcut = self._children.values()
        y = x
        for block in body:
            y = block(y)
        return y + shortcut(x)


class PaddedConv(nn.Conv2D):
    """A convolution with any number of zeros on each side of its input, (above, below) and (left, right)."""

    def __init__(self, around: spec.Around, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.zeros = (0, 0, 0, 0, *around[0], *around[1])

    def hybrid_forward(self, F: Any, x: Any, **parameters: Any) -> Any:  # noqa: N803  # the name in Gluon
        return super().hybrid_forward(F, F.pad(x, mode="constant", pad_width=self.zeros), **parameters)


class GlobalAverage(nn.GlobalAvgPool2D):
    """(batch, channels, height, width) -> (batch, channels): the mean over all positions.

    Not F.mean, which MXNet's exporter writes as a ReduceMean that onnx refuses.
    """

    def hybrid_forward(self, F: Any, x: Any) -> Any:  # noqa: N803  # the name in Gluon
        return F.flatten(super().hybrid_forward(F, x))


class TanhGELU(HybridBlock):
    """GELU with a tanh, which Gluon lacks."""

    def hybrid_forward(self, F: Any, x: Any) -> Any:  # noqa: N803  # the name in Gluon
        return 0.5 * x * (1 + F.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


class Recurrent(HybridBlock):
    """(batch, steps, in) -> (batch, steps, units): a separate LSTM operator for each layer of the spec.

    Several layers in one operator (`num_layers=2`) would train the lower ones on wrong gradients wherever MXNet's own
    kernel computes them, as in float64: tests/findings/mxnet_lstm_float64.py.

    MXNet adds two biases and would train both with the same gradient, so their sum would move twice as fast as the
    one bias of the spec: the second is frozen at zero.
    """

    def __init__(self, features: int, units: int) -> None:
        super().__init__()
        self.lstm = rnn.LSTM(units, input_size=features)
        self.lstm.l0_h2h_bias.grad_req = "null"

    def hybrid_forward(self, F: Any, x: Any) -> Any:  # noqa: N803  # the name in Gluon
        # Steps first inside. layout="NTC" does the same by swapaxes, which is a dozen operators in ONNX.
        return F.transpose(self.lstm(F.transpose(x, (1, 0, 2))), (1, 0, 2))


class LastStep(HybridBlock):
    """(batch, steps, features) -> (batch, features): the last step only."""

    def hybrid_forward(self, F: Any, x: Any) -> Any:  # noqa: N803  # the name in Gluon
        return F.squeeze(F.slice_axis(x, axis=1, begin=-1, end=None), axis=1)


class BinaryCrossEntropy(loss.SigmoidBinaryCrossEntropyLoss):
    """Gluon's loss for labels that are 0 or 1, with the right gradient where a logit is exactly zero.

    Gluon computes relu(z) - z y + softplus(-|z|) and takes zero for the derivatives of relu and of |z| at z = 0, so the
    gradient there is -y instead of 1/2 - y: tests/findings/mxnet_binary_cross_entropy.py. Such logits are common: while
    the last bias is still zero, every sample on which no hidden unit is active has one.
    """

    def hybrid_forward(self, F: Any, logit: Any, label: Any) -> Any:  # noqa: N803  # the name in Gluon
        return F.Activation(logit * (1 - 2 * F.reshape_like(label, logit)), act_type="softrelu")


class MeanLoss(HybridBlock):
    """(x, y) -> (1,): the mean loss, network and loss in one graph."""

    def __init__(self, network: HybridBlock, loss: loss.Loss) -> None:
        super().__init__()
        self.network = network
        self.loss = loss

    def hybrid_forward(self, F: Any, x: Any, y: Any) -> Any:  # noqa: N803  # the name in Gluon
        return F.mean(self.loss(self.network(x), y))


def make_conv(layer: spec.Conv2D, shape: Shape) -> HybridBlock:
    """Return Gluon's convolution, which has the same number of zeros on opposite sides, or one with zeros before it."""
    (above, below), (left, right) = layer.around
    settings = {"strides": layer.stride, "dilation": layer.dilation, "groups": layer.groups, "use_bias": layer.bias}
    if above == below and left == right:
        return nn.Conv2D(layer.filters, layer.size, padding=(above, left), in_channels=shape[0], **settings)
    return PaddedConv(layer.around, layer.filters, layer.size, in_channels=shape[0], **settings)


# Layer -> its block, for an input of the given shape.
LAYERS: dict[type, Callable[[Any, Shape], HybridBlock]] = {
    spec.Dense: lambda layer, shape: nn.Dense(layer.units, in_units=shape[0]),
    spec.Conv2D: make_conv,
    spec.MaxPool2D: lambda layer, shape: nn.MaxPool2D(layer.size),
    spec.AveragePool2D: lambda layer, shape: nn.AvgPool2D(layer.size),
    spec.GlobalAveragePool: lambda layer, shape: GlobalAverage(),
    spec.BatchNorm: lambda layer, shape: nn.BatchNorm(1, layer.momentum, layer.epsilon, in_channels=shape[0]),
    spec.ReLU: lambda layer, shape: nn.Activation("relu"),
    spec.LeakyReLU: lambda layer, shape: nn.LeakyReLU(layer.slope),
    spec.ELU: lambda layer, shape: nn.ELU(),
    spec.Sigmoid: lambda layer, shape: nn.Activation("sigmoid"),
    spec.Tanh: lambda layer, shape: nn.Activation("tanh"),
    spec.SiLU: lambda layer, shape: nn.Swish(),
    spec.GELU: lambda layer, shape: TanhGELU() if layer.approximate else nn.GELU(),
    spec.Softplus: lambda layer, shape: nn.Activation("softrelu"),
    spec.Flatten: lambda layer, shape: nn.Flatten(),
    spec.LSTM: lambda layer, shape: Recurrent(shape[1], layer.units),
    spec.LastStep: lambda layer, shape: LastStep(),
}

# Losses are per sample; `MeanLoss` takes their mean.
LOSSES: dict[str, Callable[[], loss.Loss]] = {
    "binary_cross_entropy": BinaryCrossEntropy,
    "softmax_cross_entropy": loss.SoftmaxCrossEntropyLoss,
    "mean_squared_error": lambda: loss.L2Loss(weight=2.0),  # Gluon halves the squared error
}

# (kind, parameter or buffer) -> (Gluon's name, conversion from the spec to Gluon; each conversion is its own inverse).
PARAMETERS: dict[tuple[str, str], tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    ("dense", "w"): ("weight", np.transpose),
    ("dense", "b"): ("bias", np.asarray),
    ("conv", "w"): ("weight", np.asarray),
    ("conv", "b"): ("bias", np.asarray),
    ("norm", "scale"): ("gamma", np.asarray),
    ("norm", "shift"): ("beta", np.asarray),
    ("norm", "mean"): ("running_mean", np.asarray),
    ("norm", "variance"): ("running_var", np.asarray),
    ("lstm", "w_x"): ("lstm.l0_i2h_weight", np.transpose),
    ("lstm", "w_h"): ("lstm.l0_h2h_weight", np.transpose),
    ("lstm", "b"): ("lstm.l0_i2h_bias", np.asarray),
}


def build(task: spec.Task) -> Chain:
    """Return the network with blocks named like the layers of the spec; its parameters are not set yet."""
    return build_chain(task.layers, task.input_shape)


def build_chain(layers: Sequence[Layer], shape: Shape) -> Chain:
    """Return a sequence of layers for inputs of `shape`."""
    return Chain({name: build_layer(layer, size) for name, layer, size in walk_chain(layers, shape)})


def build_layer(layer: Layer, shape: Shape) -> HybridBlock:
    """Return the block of a layer for inputs of `shape`."""
    if not isinstance(layer, spec.Residual):
        return LAYERS[type(layer)](layer, shape)
    body = {name: build_layer(each, size) for name, each, size in walk_chain(layer.body, shape)}
    return Residual({**body, SHORTCUT: build_chain(layer.shortcut, shape)})


def array_map(task: spec.Task) -> dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]]:
    """Return the spec's name of each parameter and buffer -> (path in the network, conversion)."""
    entries = {}
    for layer_name, layer, shape in task.walk_leaves():
        for short in (*layer.parameters(shape), *layer.buffers(shape)):
            gluon_name, convert = PARAMETERS[layer.kind, short]
            entries[f"{layer_name}.{short}"] = (f"{layer_name}.{gluon_name}", convert)
    return entries
