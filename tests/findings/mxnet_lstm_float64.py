"""MXNet 1.9.1: a recurrent operator of several layers trains all but its top layer on wrong gradients, in float64.

Symptom. A two-layer `gluon.rnn.LSTM` in float64 gives the right outputs and a first loss right to the last bit, and
yet ends elsewhere: its training drifts from that of every other framework. In float32 it is right.

Cause. `LstmBackward` (src/operator/rnn_impl.h) goes down the layers and calls `LstmBackwardSingleLayer` for each. What
that one writes as `dx` is the `dy` of the layer below, but it writes it only

    if (req_data != kNullOp) { linalg_gemm(dyx, wx, dx, ...); }

and `req_data` says whether the gradient of the operator's own INPUT is wanted. Of training data it is not. So every
layer below the top takes for its `dy` what lies in the workspace: memory that nobody has set in this backward pass.
`GruBackwardSingleLayer` and `VanillaRNNBackwardSingleLayer` have the same line. It still stands in master (b84609d,
January 2023). The issue apache/mxnet#17898, "LSTM and GRU layers without DNNL enabled give wrong gradients", is open;
the change that answered it, #18203, mends other cases.

Consequence. After 20 steps of Adam on our task `lstm`, with the two layers in one operator, the weights of the UPPER
layer are off by 0.012, those of the lower by 0.035, more than twice the way that they should have gone.

Why float64 only. On a CPU float32 goes to oneDNN (`SupportMKLDNNRnn`, src/operator/nn/mkldnn/mkldnn_rnn-inl.h), which
computes it rightly. MXNet's own kernel serves float64, and float32 too where MXNET_USE_MKLDNN_RNN=0 or the build has
no oneDNN: there this hits the usual precision.

Not the cause: the second bias (frozen or not), hybridizing, static memory, lengths, sizes, or the kernel of one layer,
whose gradients are right to 1e-15.

Work-around. One operator for each layer, as `backends/mxnet` has it: then the gradient of the upper one's input is
wanted, and written. Or `x.attach_grad()`, which makes one more gradient that nobody reads.

Run it with MXNet 1.9.1 and NumPy 1.23. Printed: the largest error of the gradient of layer 0, by its largest element,
against central differences.
"""

import mxnet as mx
import numpy as np
from mxnet.gluon import nn, rnn

data = np.random.default_rng(0).normal(size=(6, 4, 3))  # (steps, batch, features)


def error(network, precision, input_gradient=False):
    network.initialize(mx.init.Uniform(0.5))
    network.cast(precision)
    weight = next(iter(network.collect_params(".*l0_i2h_weight").values()))  # of layer 0
    x = mx.nd.array(data, dtype=precision)
    if input_gradient:
        x.attach_grad()
    with mx.autograd.record():
        loss = network(x).square().sum()
    loss.backward()
    told, kept = weight.grad().asnumpy(), weight.data().asnumpy()
    true, step = np.zeros_like(kept), 1e-5 if precision == "float64" else 1e-2
    for place in np.ndindex(kept.shape):
        for side in (1, -1):
            moved = kept.copy()
            moved[place] += side * step
            weight.set_data(mx.nd.array(moved, dtype=precision))
            true[place] += side * network(x).square().sum().asscalar() / (2 * step)
    return np.abs(told - true).max() / np.abs(true).max()


two_operators = nn.HybridSequential()
two_operators.add(rnn.LSTM(5, input_size=3), rnn.LSTM(5, input_size=5))
print(f"one layer,  float64                      {error(rnn.LSTM(5, 1, input_size=3), 'float64'):.0e}")
print(f"two layers, float64                      {error(rnn.LSTM(5, 2, input_size=3), 'float64'):.0e}   <- wrong")
print(f"two layers, float64, with x.attach_grad  {error(rnn.LSTM(5, 2, input_size=3), 'float64', True):.0e}")
print(f"two layers, float64, an operator each    {error(two_operators, 'float64'):.0e}")
print(f"two layers, float32                      {error(rnn.LSTM(5, 2, input_size=3), 'float32'):.0e}")
