"""The spec's layers and losses in PyTorch, and the conversion of each parameter."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # the usual name

from crossframe.tasks import spec
from crossframe.tasks.spec import SHORTCUT, Layer, Shape, walk_chain


class Residual(nn.Sequential):
    """x -> body(x) + shortcut(x): the modules of the body under their own names, and last the shortcut."""

    def __init__(self, body: nn.Sequential, shortcut: nn.Sequential) -> None:
        super().__init__(OrderedDict([*body.named_children(), (SHORTCUT, shortcut)]))

    def forward(self, x: Tensor) -> Tensor:
        *body, shortcut = self
        y = x
        for module in body:
            y = module(y)
        return y + shortcut(x)


class PaddedConv(nn.Conv2d):
    """A convolution with any number of zeros on each side of its input, (above, below) and (left, right)."""

    def __init__(self, around: spec.Around, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        (above, below), (left, right) = around
        self.zeros = (left, right, above, below)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, self.zeros))


class GlobalAverage(nn.Module):
    """(batch, channels, height, width) -> (batch, channels): the mean over all positions."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


class Recurrent(nn.LSTM):
    """(batch, steps, in) -> (batch, steps, units): nn.LSTM without the final state in its result.

    torch adds two biases and would train both with the same gradient, so their sum would move twice as fast as the
    one bias of the spec: the second is frozen at zero.
    """

    def __init__(self, features: int, units: int) -> None:
        super().__init__(features, units, batch_first=True)
        self.bias_hh_l0.requires_grad_(False).zero_()

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        kind = x.device.type
        if torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind) == torch.bfloat16:
            return self.forward_in_bfloat16(x)
        return super().forward(x)[0]

    def forward_in_bfloat16(self, x: Tensor) -> Tensor:
        """Return the hidden states in bfloat16, with explicit casts.

        On a GPU autocast always casts the inputs of cuDNN's LSTM to float16 (AutocastRNN.cpp).
        """
        with torch.autocast(x.device.type, enabled=False):
            start = x.new_zeros(1, len(x), self.hidden_size, dtype=torch.bfloat16)
            weights = [weight.bfloat16() for weight in self.all_weights[0]]
            return torch.lstm(x.bfloat16(), (start, start), weights, True, 1, 0.0, self.training, False, True)[0]


class LastStep(nn.Module):
    """(batch, steps, features) -> (batch, features): the last step only."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, -1]


def make_conv(layer: spec.Conv2D, shape: Shape) -> nn.Module:
    """Return torch's convolution, which has the same number of zeros on opposite sides, or one with zeros before it."""
    (above, below), (left, right) = layer.around
    settings = {"stride": layer.stride, "dilation": layer.dilation, "groups": layer.groups, "bias": layer.bias}
    if above == below and left == right:
        return nn.Conv2d(shape[0], layer.filters, layer.size, padding=(above, left), **settings)
    return PaddedConv(layer.around, shape[0], layer.filters, layer.size, **settings)


# Layer -> its module, for an input of the given shape.
LAYERS: dict[type, Callable[[Any, Shape], nn.Module]] = {
    spec.Dense: lambda layer, shape: nn.Linear(shape[0], layer.units),
    spec.Conv2D: make_conv,
    spec.MaxPool2D: lambda layer, shape: nn.MaxPool2d(layer.size),
    spec.AveragePool2D: lambda layer, shape: nn.AvgPool2d(layer.size),
    spec.GlobalAveragePool: lambda layer, shape: GlobalAverage(),
    # torch's momentum is the share of the new batch, not that of the past.
    spec.BatchNorm: lambda layer, shape: nn.BatchNorm2d(shape[0], layer.epsilon, 1 - layer.momentum),
    spec.ReLU: lambda layer, shape: nn.ReLU(),
    spec.LeakyReLU: lambda layer, shape: nn.LeakyReLU(layer.slope),
    spec.ELU: lambda layer, shape: nn.ELU(),
    spec.Sigmoid: lambda layer, shape: nn.Sigmoid(),
    spec.Tanh: lambda layer, shape: nn.Tanh(),
    spec.SiLU: lambda layer, shape: nn.SiLU(),
    spec.GELU: lambda layer, shape: nn.GELU("tanh" if layer.approximate else "none"),
    # By default torch returns x above 20, where the exact value is up to 2e-9 larger.
    spec.Softplus: lambda layer, shape: nn.Softplus(threshold=40),
    spec.Flatten: lambda layer, shape: nn.Flatten(),
    spec.LSTM: lambda layer, shape: Recurrent(shape[1], layer.units),
    spec.LastStep: lambda layer, shape: LastStep(),
}

LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "binary_cross_entropy": lambda z, y: F.binary_cross_entropy_with_logits(z[:, 0], y.to(z.dtype)),
    "softmax_cross_entropy": F.cross_entropy,
    "mean_squared_error": F.mse_loss,
}

# (kind, parameter or buffer) -> (torch's name, conversion from the spec to torch; each conversion is its own inverse).
PARAMETERS: dict[tuple[str, str], tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    ("dense", "w"): ("weight", np.transpose),
    ("dense", "b"): ("bias", np.asarray),
    ("conv", "w"): ("weight", np.asarray),
    ("conv", "b"): ("bias", np.asarray),
    ("norm", "scale"): ("weight", np.asarray),
    ("norm", "shift"): ("bias", np.asarray),
    ("norm", "mean"): ("running_mean", np.asarray),
    ("norm", "variance"): ("running_var", np.asarray),
    ("lstm", "w_x"): ("weight_ih_l0", np.transpose),
    ("lstm", "w_h"): ("weight_hh_l0", np.transpose),
    ("lstm", "b"): ("bias_ih_l0", np.asarray),
}


def build(task: spec.Task) -> nn.Sequential:
    """Return the network with modules named like the layers of the spec; its parameters are not set yet."""
    return build_chain(task.layers, task.input_shape)


def build_chain(layers: Sequence[Layer], shape: Shape) -> nn.Sequential:
    """Return a sequence of layers for inputs of `shape`."""
    chain = nn.Sequential()
    for name, layer, size in walk_chain(layers, shape):
        if isinstance(layer, spec.Residual):
            chain.add_module(name, Residual(build_chain(layer.body, size), build_chain(layer.shortcut, size)))
        else:
            chain.add_module(name, LAYERS[type(layer)](layer, size))
    return chain


def array_map(task: spec.Task) -> dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]]:
    """Return the spec's name of each parameter and buffer -> (key in torch's state_dict, conversion)."""
    entries = {}
    for layer_name, layer, shape in task.walk_leaves():
        for short in (*layer.parameters(shape), *layer.buffers(shape)):
            torch_name, convert = PARAMETERS[layer.kind, short]
            entries[f"{layer_name}.{short}"] = (f"{layer_name}.{torch_name}", convert)
    return entries
