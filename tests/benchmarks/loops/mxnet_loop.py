"""The four tasks as a Gluon tutorial would write them: a hybridized network and loss, a Trainer, a plain loop.

That is the tuned form, too: Gluon has nothing faster.
"""

import mxnet as mx
import numpy as np
from mxnet import autograd, gluon
from mxnet.gluon import nn, rnn


class Sequence(gluon.HybridBlock):
    def __init__(self, units: int):
        super().__init__()
        self.lstm = rnn.LSTM(units, num_layers=2, layout="NTC")
        self.head = nn.Dense(10)

    def hybrid_forward(self, F, x):
        return self.head(F.slice_axis(self.lstm(x), axis=1, begin=-1, end=None))


def dense(*sizes: int, linear: tuple[int, ...] = ()) -> list[nn.Dense]:
    """Dense layers with a ReLU in each but the last and those named in `linear`."""
    last = len(sizes) - 1
    return [
        nn.Dense(size, activation=None if place == last or place in linear else "relu")
        for place, size in enumerate(sizes)
    ]


def convolutional(k: int) -> list[gluon.HybridBlock]:
    return [
        nn.Conv2D(32 * k, 3, padding=1, activation="relu"), nn.MaxPool2D(2),
        nn.Conv2D(64 * k, 3, padding=1, activation="relu"), nn.MaxPool2D(2),
        nn.Flatten(), *dense(128 * k, 10),
    ]  # fmt: skip


class Loop:
    def __init__(self, task: str, scale: int, device: str, tuned: bool):
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
            self.network.add(Sequence(256 * scale))
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

    def put(self, x: np.ndarray, y: np.ndarray):
        return mx.nd.array(x, ctx=self.device), mx.nd.array(y, ctx=self.device)

    def train(self, batches) -> None:
        for x, y in batches:
            with autograd.record():
                loss = self.loss(self.network(x), y)
            loss.backward()
            self.trainer.step(len(x))

    def sync(self) -> None:
        mx.nd.waitall()
