"""The spec's layers and losses in PyTorch, and the conversion of each parameter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # the usual name

from crossframe.tasks import spec
from crossframe.tasks.spec import Shape


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


# Layer -> its module, for an input of the given shape.
LAYERS: dict[type, Callable[[Any, Shape], nn.Module]] = {
    spec.Dense: lambda layer, shape: nn.Linear(shape[0], layer.units),
    spec.Conv2D: lambda layer, shape: nn.Conv2d(shape[0], layer.filters, layer.size, padding=layer.padding),
    spec.MaxPool2D: lambda layer, shape: nn.MaxPool2d(layer.size),
    spec.ReLU: lambda layer, shape: nn.ReLU(),
    spec.Flatten: lambda layer, shape: nn.Flatten(),
    spec.LSTM: lambda layer, shape: Recurrent(shape[1], layer.units),
    spec.LastStep: lambda layer, shape: LastStep(),
}

LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "binary_cross_entropy": lambda z, y: F.binary_cross_entropy_with_logits(z[:, 0], y.to(z.dtype)),
    "softmax_cross_entropy": F.cross_entropy,
    "mean_squared_error": F.mse_loss,
}

# (kind, parameter) -> (torch's name, conversion from the spec to torch; each conversion is its own inverse).
PARAMETERS: dict[tuple[str, str], tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    ("dense", "w"): ("weight", np.transpose),
    ("dense", "b"): ("bias", np.asarray),
    ("conv", "w"): ("weight", np.asarray),
    ("conv", "b"): ("bias", np.asarray),
    ("lstm", "w_x"): ("weight_ih_l0", np.transpose),
    ("lstm", "w_h"): ("weight_hh_l0", np.transpose),
    ("lstm", "b"): ("bias_ih_l0", np.asarray),
}


def build(task: spec.Task) -> nn.Sequential:
    """Return the network with modules named like the layers of the spec; its parameters are not set yet."""
    network = nn.Sequential()
    for name, layer, shape in task.walk():
        network.add_module(name, LAYERS[type(layer)](layer, shape))
    return network


def parameter_map(task: spec.Task) -> dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]]:
    """Return the spec's parameter name -> (key in torch's state_dict, conversion)."""
    entries = {}
    for layer_name, layer, shape in task.walk():
        for short in layer.parameters(shape):
            torch_name, convert = PARAMETERS[layer.kind, short]
            entries[f"{layer_name}.{short}"] = (f"{layer_name}.{torch_name}", convert)
    return entries
