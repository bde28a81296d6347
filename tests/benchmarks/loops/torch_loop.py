"""The four tasks as in a PyTorch tutorial: eager modules, a plain loop, the default optimizer.

Tuned, as for a GPU: the whole step under torch.compile, its kernels chosen by trial and replayed as a CUDA
graph, channels last, a fused optimizer.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # the usual name


class Recurrent(nn.Module):
    """The network of the task lstm."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(100, units, num_layers=2, batch_first=True)
        self.head = nn.Linear(units, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(x)[0][:, -1])


def dense(*sizes: int, linear: tuple[int, ...] = ()) -> list[nn.Module]:
    """Dense layers with a ReLU after each except the last and those named in `linear`."""
    layers: list[nn.Module] = []
    for index, (size, next_size) in enumerate(pairwise(sizes)):
        layers.append(nn.Linear(size, next_size))
        if index < len(sizes) - 2 and index not in linear:
            layers.append(nn.ReLU())
    return layers


def convolutional(k: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 32 * k, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32 * k, 64 * k, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), *dense(2304 * k, 128 * k, 10),
    )  # fmt: skip


def network_and_loss(task: str, k: int) -> tuple[nn.Module, Callable[[Tensor, Tensor], Tensor]]:
    if task == "circle":
        loss = lambda z, y: F.binary_cross_entropy_with_logits(z[:, 0], y.float())  # noqa: E731
        return nn.Sequential(*dense(2, 16 * k, 1)), loss
    if task == "cnn":
        return convolutional(k), F.cross_entropy
    if task == "lstm":
        return Recurrent(256 * k), F.cross_entropy
    hidden = [size * k for size in (400, 200, 32, 200, 400)]
    return nn.Sequential(*dense(784, *hidden, 784, linear=(2,))), F.mse_loss


class Loop:
    """A handwritten training loop."""

    def __init__(self, task: str, scale: int, device: str, tuned: bool) -> None:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False  # as in the backend
        self.device = torch.device(device)
        network, loss = network_and_loss(task, scale)
        self.layout = torch.channels_last if tuned and task == "cnn" else torch.contiguous_format
        self.network = network.to(self.device, memory_format=self.layout)
        self.gradients: Callable[[Tensor, Tensor], None] = lambda x, y: loss(self.network(x), y).backward()
        if tuned:
            forward = torch.compile(lambda x, y: loss(self.network(x), y), mode="max-autotune")
            self.gradients = lambda x, y: forward(x, y).backward()
        weights, options = self.network.parameters(), {"fused": True} if tuned else {}
        if task == "cnn":
            self.optimizer: torch.optim.Optimizer = torch.optim.SGD(weights, lr=0.01, momentum=0.9, **options)
        else:
            self.optimizer = torch.optim.Adam(weights, lr=0.01 if task == "circle" else 0.001, **options)

    def put(self, x: np.ndarray, y: np.ndarray) -> tuple[Tensor, Tensor]:
        return torch.from_numpy(x).to(self.device, memory_format=self.layout), torch.from_numpy(y).to(self.device)

    def train(self, batches: Sequence[tuple[Tensor, Tensor]]) -> None:
        for x, y in batches:
            self.optimizer.zero_grad()
            self.gradients(x, y)
            self.optimizer.step()

    def sync(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
