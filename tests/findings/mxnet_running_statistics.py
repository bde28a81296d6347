"""MXNet 1.9.1: the running statistics of a hybridized network can be read before the update that was requested.

Symptom. After `hybridize(static_alloc=True, static_shape=True)`, a training step and its backward pass, reading
`running_mean` gives its value before that step, and after `waitall` the one behind it. Without hybridization the read
waits. Predictions that follow a training step at once may use the old statistics too.

Cause, inferred: an array in MXNet is read when the engine has done all operations that it knows to write to it. The
operator BatchNorm updates its running statistics as auxiliary states in the backward pass, and the backward pass of a
graph with static memory does not list them among the arrays that it writes.

Consequence. A checkpoint, an evaluation or an average that reads the statistics directly after a step can be one step
behind, depending on time. Reading the weights first waits for the whole backward pass, and hides it.

Workaround. `backends/mxnet` waits for all operations before it reads the statistics, predicts or saves, if the network
has batch normalization.

Run with MXNet 1.9.1 and NumPy 1.23. The script prints the running mean directly after each step, and after `waitall`.
"""

import mxnet as mx
import numpy as np
from mxnet.gluon import loss, nn


def train_and_read(hybrid: bool) -> list[tuple[float, float]]:
    mx.random.seed(0)
    network = nn.HybridSequential()
    network.add(nn.Conv2D(8, 3, in_channels=4), nn.BatchNorm(in_channels=8), nn.GlobalAvgPool2D(), nn.Dense(3))
    network.initialize()
    if hybrid:
        network.hybridize(static_alloc=True, static_shape=True)
    generator, criterion, reads = np.random.default_rng(0), loss.SoftmaxCrossEntropyLoss(), []
    labels = mx.nd.zeros((32,))
    for _ in range(3):
        x = mx.nd.array(generator.normal(size=(32, 4, 32, 32)))
        mx.nd.waitall()
        with mx.autograd.record():
            value = criterion(network(x), labels).mean()
        value.backward()
        early = float(network[1].running_mean.data().asnumpy()[0])
        mx.nd.waitall()
        reads.append((early, float(network[1].running_mean.data().asnumpy()[0])))
    return reads


print("graph        step   read at once   after waitall")
for name, hybrid in (("imperative", False), ("hybridized", True)):
    for step, (early, late) in enumerate(train_and_read(hybrid), start=1):
        print(f"{name:12} {step:4d}   {early:12.6f}   {late:13.6f}{'' if early == late else '   <- stale'}")
