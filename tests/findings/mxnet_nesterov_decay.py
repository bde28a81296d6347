"""MXNet 1.9.1: the optimizer NAG applies the weight decay of the velocity to the weights after the update.

Symptom. With weight decay, NAG departs from the formula in its first velocity, and in the weights from the second
update on. Without weight decay it is right: v <- momentum v + rate g, w <- w - (rate g + momentum v).

Cause, inferred from the numbers below: the operator `nag_mom_update` writes the new weight to the array that it reads
(`out=weight`), and computes the velocity afterwards, from the weight that it has just written. So the weight itself
moves by the right decay, and the velocity remembers that of the new weight.

Consequence. With rate 0.5 and weight decay 0.1, the velocity is 7.5 % off after one update, the weight 1.7 % after two.

Workaround. In `backends/mxnet`, the decay is added to the gradients before NAG sees them, as for AdaGrad.

Run with MXNet 1.9.1 and NumPy 1.23. The script prints weight and velocity beside those of two formulas: the right one,
and the one with the decay of the new weight in the velocity.
"""

import mxnet as mx
import numpy as np

RATE, MOMENTUM, GRADIENTS = 0.5, 0.5, (0.3, 0.5, -0.2)


def follow_formula(decay: float, of_new_weight: bool) -> list[tuple[float, float]]:
    weight, velocity, steps = 1.0, 0.0, []
    for gradient in GRADIENTS:
        step = RATE * (gradient + decay * weight)
        previous = velocity
        velocity = MOMENTUM * previous + step
        weight -= step + MOMENTUM * velocity
        if of_new_weight:
            velocity = MOMENTUM * previous + RATE * (gradient + decay * weight)
        steps.append((weight, velocity))
    return steps


def follow_mxnet(decay: float) -> list[tuple[float, float]]:
    weight = mx.nd.array(np.array([1.0]), dtype="float64")
    rule = mx.optimizer.NAG(learning_rate=RATE, momentum=MOMENTUM, wd=decay)
    state, steps = rule.create_state(0, weight), []
    for gradient in GRADIENTS:
        rule.update(0, weight, mx.nd.array(np.array([gradient]), dtype="float64"), state)
        steps.append((float(weight.asscalar()), -float(state.asscalar())))
    return steps


print("decay  update   MXNet weight, velocity   right weight, velocity   decay of the new weight in the velocity")
for decay in (0.0, 0.1):
    rows = zip(follow_mxnet(decay), follow_formula(decay, False), follow_formula(decay, True))
    for update, row in enumerate(rows, start=1):
        numbers = "   ".join(f"{weight:10.6f} {velocity:10.6f}" for weight, velocity in row)
        wrong = max(abs(first - second) for first, second in zip(row[0], row[1])) > 1e-6
        print(f"{decay:5.1f} {update:6d}   {numbers}{'   <- wrong' if wrong else ''}")
