"""MXNet 1.9.1: the gradient of Gluon's SigmoidBinaryCrossEntropyLoss is wrong where a logit is exactly zero.

Symptom. In the preset `original` of the task `circle` (2 -> 4 -> 1), the first gradient of the last bias is 25 % off in
both modes, in float32. With 7 hidden units or more it is right. The loss alone, as in the script below, is wrong in
float32 and in float64; the whole network was examined in float32 only.

Cause. The loss is written as relu(z) - z y + softplus(-|z|) (python/mxnet/gluon/loss.py). The value is right for every
z, but at z = 0 it is a sum of two kinks that cancel, and MXNet differentiates each of them separately: relu'(0) = 0,
|z|'(0) = sign(0) = 0. The result is -y instead of sigmoid(0) - y = 1/2 - y: no gradient for label 0, and twice the
right gradient for label 1. `LogisticLoss` is written the same way, and so is `loss.py` of MXNet 2.

Why the width of the layer matters. A logit is exactly zero where no hidden unit is active and the last bias is zero, as
it is at the start. Each of h units is active on about half of the samples, so about one sample in 2^h has such a logit:
with 4 units one of a batch of 16 or several, with 16 units none. `FullyConnected`, whose bias shows the error, is
right: it sums the gradient that it receives. The layers below receive no gradient of these samples, since no unit is
active.

PyTorch, JAX and TensorFlow are not affected, by the parity probe "gradient at zero". TensorFlow writes the same formula
with `where` instead of relu and abs, so that the gradient at zero is right.

Workaround. In `backends/mxnet`, for labels 0 and 1 the loss is softplus((1 - 2 y) z), one smooth operator, as exact
elsewhere and a few operators shorter.

Run with MXNet 1.9.1 and NumPy 1.23. The script prints the gradient with respect to the logit for both labels.
"""

from typing import Any

import mxnet as mx
from mxnet.gluon.loss import SigmoidBinaryCrossEntropyLoss


def gradient(loss: Any, logit: float, label: int, precision: str) -> float:
    z, y = mx.nd.array([[logit]], dtype=precision), mx.nd.array([[label]], dtype=precision)
    z.attach_grad()
    with mx.autograd.record():
        value = loss(z, y)
    value.backward()
    return float(z.grad.asnumpy().item())


def smooth(z: Any, y: Any) -> Any:
    return mx.nd.Activation((1 - 2 * y) * z, act_type="softrelu")


imperative, hybrid = SigmoidBinaryCrossEntropyLoss(), SigmoidBinaryCrossEntropyLoss()
hybrid.hybridize()
print("precision  logit   label   right   Gluon   hybrid  softplus((1 - 2 y) z)")
for precision in ("float32", "float64"):
    for logit in (-1e-6, 0.0, 1e-6):
        for label in (0, 1):
            gradients = [gradient(loss, logit, label, precision) for loss in (imperative, hybrid, smooth)]
            mark = "   <- wrong" if abs(gradients[0] - (0.5 - label)) > 1e-3 else ""
            row = " ".join(f"{value:7.2f}" for value in gradients)
            print(f"{precision:9} {logit:6.0e} {label:5d} {0.5 - label:9.2f} {row}{mark}")
