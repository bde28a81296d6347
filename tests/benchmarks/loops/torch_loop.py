"""The four tasks as a PyTorch tutorial would write them: eager modules, a plain loop, the default optimizer."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(100, 256, num_layers=2, batch_first=True)
        self.head = nn.Linear(256, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(x)[0][:, -1])


def dense(*sizes: int, linear: tuple[int, ...] = ()) -> list[nn.Module]:
    """Dense layers with a ReLU behind each but the last and those named in `linear`."""
    layers: list[nn.Module] = []
    for place, (size, following) in enumerate(pairwise(sizes)):
        layers.append(nn.Linear(size, following))
        if place < len(sizes) - 2 and place not in linear:
            layers.append(nn.ReLU())
    return layers


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), *dense(2304, 128, 10),
    )  # fmt: skip


class Loop:
    def __init__(self, task: str) -> None:
        self.network: nn.Module
        self.loss: Callable[[Tensor, Tensor], Tensor]
        if task == "circle":
            self.network = nn.Sequential(*dense(2, 16, 1))
            self.loss = lambda z, y: F.binary_cross_entropy_with_logits(z[:, 0], y.float())
        elif task == "cnn":
            self.network, self.loss = convolutional(), F.cross_entropy
        elif task == "lstm":
            self.network, self.loss = Recurrent(), F.cross_entropy
        else:
            self.network = nn.Sequential(*dense(784, 400, 200, 32, 200, 400, 784, linear=(2,)))
            self.loss = F.mse_loss
        weights = self.network.parameters()
        if task == "cnn":
            self.optimizer: torch.optim.Optimizer = torch.optim.SGD(weights, lr=0.01, momentum=0.9)
        else:
            self.optimizer = torch.optim.Adam(weights, lr=0.01 if task == "circle" else 0.001)

    def put(self, x: np.ndarray, y: np.ndarray) -> tuple[Tensor, Tensor]:
        return torch.from_numpy(x), torch.from_numpy(y)

    def train(self, batches: Sequence[tuple[Tensor, Tensor]]) -> None:
        for x, y in batches:
            self.optimizer.zero_grad()
            self.loss(self.network(x), y).backward()
            self.optimizer.step()

    def sync(self) -> None:
        pass
