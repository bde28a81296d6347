"""The four tasks as in a Gluon tutorial: a hybridized network and loss, a Trainer, a plain loop.

The tuned loop is the same: Gluon has nothing faster.
"""

from collections.abc import Sequence
from typing import Any

import mxnet as mx
import numpy as np
from mxnet import autograd, gluon
from mxnet.gluon import nn, rnn

from crossframe.backends.contract import Batch


class Recurrent(gluon.HybridBlock):
    """The network of the task lstm."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.lstm = rnn.LSTM(units, num_layers=2, layout="NTC")
        self.head = nn.Dense(10)

    def hybrid_forward(self, F: Any, x: Any) -> Any:  # noqa: N803  # the name in Gluon
        return self.head(F.slice_axis(self.lstm(x), axis=1, begin=-1, end=None))


def dense(*sizes: int, linear: tuple[int, ...] = ()) -> list[nn.Dense]:
    """Dense layers with a ReLU in each except the last and those named in `linear`."""
    last = len(sizes) - 1
    return [
        nn.Dense(size, activation=None if index == last or index in linear else "relu")
        for index, size in enumerate(sizes)
    ]


def convolutional(k: int) -> list[gluon.HybridBlock]:
    return [
        nn.Conv2D(32 * k, 3, padding=1, activation="relu"), nn.MaxPool2D(2),
        nn.Conv2D(64 * k, 3, padding=1, activation="relu"), nn.MaxPool2D(2),
        nn.Flatten(), *dense(128 * k, 10),
    ]  # fmt: skip


class Loop:
    """A handwritten training loop."""

    def __init__(self, task: str, scale: int, device: str, tuned: bool) -> None:
        kind, _, number = device.partition(":")
        self.device = mx.cpu() if kind == "cpu" else mx.gpu(int(number))
        self.network = nn.HybridSequential()
        self.loss: gluon.loss.Loss = gluon.loss.SoftmaxCrossEntropyLoss()
        if task == "circle":
            self.network.add(*dense(16 * scale, 1))
            self.loss = gluon.loss.SigmoidBinaryCrossEntropyLoss()
        elif task == "cnn":
            self.network.add(*convolutional(scale))
        elif task == "lstm":
            self.network.add(Recurrent(256 * scale))
        else:
            hidden = [size * scale for size in (400, 200, 32, 200, 400)]
            self.network.add(*dense(*hidden, 784, linear=(2,)))
            self.loss = gluon.loss.L2Loss()
        self.network.initialize(mx.init.Xavier(), ctx=self.device)
        for block in (self.network, self.loss):
            block.hybridize(static_alloc=True, static_shape=True)
        if task == "cnn":
            settings = ("sgd", {"learning_rate": 0.01, "momentum": 0.9})
        else:
            settings = ("adam", {"learning_rate": 0.01 if task == "circle" else 0.001})
        self.trainer = gluon.Trainer(self.network.collect_params(), *settings)

    def put(self, x: np.ndarray, y: np.ndarray) -> Batch:
        return mx.nd.array(x, ctx=self.device), mx.nd.array(y, ctx=self.device)

    def train(self, batches: Sequence[Batch]) -> None:
        for x, y in batches:
            with autograd.record():
                loss = self.loss(self.network(x), y)
            loss.backward()
            self.trainer.step(len(x))

    def sync(self) -> None:
        mx.nd.waitall()
