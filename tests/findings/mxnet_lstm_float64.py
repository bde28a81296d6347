"""MXNet 1.9.1: a recurrent operator of several layers trains all but its top layer on wrong gradients, in float64.

Symptom. A two-layer `gluon.rnn.LSTM` in float64 has the right outputs and a first loss that is right to the last bit,
but its training drifts from that of every other framework. In float32 it is right.

Cause. `LstmBackward` (src/operator/rnn_impl.h) calls `LstmBackwardSingleLayer` for each layer, from top to bottom. Its
output `dx` is the `dy` of the layer below, but it writes `dx` only

    if (req_data != kNullOp) { linalg_gemm(dyx, wx, dx, ...); }

and `req_data` states whether the gradient of the operator's INPUT is required. For training data it is not. Every layer
below the top therefore uses uninitialized memory of the workspace as its `dy`. `GruBackwardSingleLayer` and
`VanillaRNNBackwardSingleLayer` have the same line. It is still in master (b84609d, January 2023). The issue
apache/mxnet#17898, "LSTM and GRU layers without DNNL enabled give wrong gradients", is open; the change that refers to
it, #18203, fixes other cases.

Consequence. After 20 steps of Adam on the task `lstm`, with both layers in one operator, the error of the UPPER layer's
weights is 0.012, that of the lower layer's 0.035, more than twice the distance of a right training.

Why float64 only. On a CPU float32 goes to oneDNN (`SupportMKLDNNRnn`, src/operator/nn/mkldnn/mkldnn_rnn-inl.h), which
computes it correctly. MXNet's own kernel computes float64, and also float32 with MXNET_USE_MKLDNN_RNN=0 or in a build
without oneDNN: there the usual precision is affected.

The error does not depend on the second bias (frozen or not), hybridizing, static memory, lengths or sizes. The
gradients of an operator of one layer are right to 1e-15.

Workaround. Use one operator for each layer, as `backends/mxnet` does: then the gradient of the upper operator's input
is required, and written. `x.attach_grad()` also avoids the error, but computes a gradient that is not used.

Run this file with MXNet 1.9.1 and NumPy 1.23. It prints the largest error of the gradient of layer 0, relative to its
largest element, by comparison with central differences.
"""

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock, nn, rnn

data = np.random.default_rng(0).normal(size=(6, 4, 3))  # (steps, batch, features)


def gradient_error(network: HybridBlock, precision: str, input_gradient: bool = False) -> float:
    network.initialize(mx.init.Uniform(0.5))
    network.cast(precision)
    weight = next(iter(network.collect_params(".*l0_i2h_weight").values()))  # of layer 0
    x = mx.nd.array(data, dtype=precision)
    if input_gradient:
        x.attach_grad()
    with mx.autograd.record():
        loss = network(x).square().sum()
    loss.backward()
    gradient, values = weight.grad().asnumpy(), weight.data().asnumpy()
    differences, step = np.zeros_like(values), 1e-5 if precision == "float64" else 1e-2
    for index in np.ndindex(values.shape):
        for sign in (1, -1):
            moved = values.copy()
            moved[index] += sign * step
            weight.set_data(mx.nd.array(moved, dtype=precision))
            differences[index] += sign * network(x).square().sum().asscalar() / (2 * step)
    return float(np.abs(gradient - differences).max() / np.abs(differences).max())


two_operators = nn.HybridSequential()
two_operators.add(rnn.LSTM(5, input_size=3), rnn.LSTM(5, input_size=5))
print(f"one layer,  float64                      {gradient_error(rnn.LSTM(5, 1, input_size=3), 'float64'):.0e}")
print(
    f"two layers, float64                      {gradient_error(rnn.LSTM(5, 2, input_size=3), 'float64'):.0e}   <- wrong"
)
print(f"two layers, float64, with x.attach_grad  {gradient_error(rnn.LSTM(5, 2, input_size=3), 'float64', True):.0e}")
print(f"two layers, float64, an operator each    {gradient_error(two_operators, 'float64'):.0e}")
print(f"two layers, float32                      {gradient_error(rnn.LSTM(5, 2, input_size=3), 'float32'):.0e}")
