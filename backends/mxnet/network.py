"""The spec's layers and losses in Gluon, and the conversion of each parameter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from mxnet.gluon import HybridBlock, loss, nn, rnn

from crossframe.tasks import spec
from crossframe.tasks.spec import Shape


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


# Layer -> its block, for an input of the given shape.
LAYERS: dict[type, Callable[[Any, Shape], HybridBlock]] = {
    spec.Dense: lambda layer, shape: nn.Dense(layer.units, in_units=shape[0]),
    spec.Conv2D: lambda layer, shape: nn.Conv2D(layer.filters, layer.size, padding=layer.padding, in_channels=shape[0]),
    spec.MaxPool2D: lambda layer, shape: nn.MaxPool2D(layer.size),
    spec.ReLU: lambda layer, shape: nn.Activation("relu"),
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

# (kind, parameter) -> (Gluon's name, conversion from the spec to Gluon; each conversion is its own inverse).
PARAMETERS: dict[tuple[str, str], tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    ("dense", "w"): ("weight", np.transpose),
    ("dense", "b"): ("bias", np.asarray),
    ("conv", "w"): ("weight", np.asarray),
    ("conv", "b"): ("bias", np.asarray),
    ("lstm", "w_x"): ("lstm.l0_i2h_weight", np.transpose),
    ("lstm", "w_h"): ("lstm.l0_h2h_weight", np.transpose),
    ("lstm", "b"): ("lstm.l0_i2h_bias", np.asarray),
}


def build(task: spec.Task) -> nn.HybridSequential:
    """Return the network with one block for each layer of the spec; its parameters are not set yet."""
    network = nn.HybridSequential()
    network.add(*(LAYERS[type(layer)](layer, shape) for _, layer, shape in task.walk()))
    return network


def parameter_map(task: spec.Task) -> dict[str, tuple[int, str, Callable[[np.ndarray], np.ndarray]]]:
    """Return the spec's parameter name -> (number of its block, name in the block, conversion)."""
    entries = {}
    for number, (layer_name, layer, shape) in enumerate(task.walk()):
        for short in layer.parameters(shape):
            entries[f"{layer_name}.{short}"] = (number, *PARAMETERS[layer.kind, short])
    return entries
