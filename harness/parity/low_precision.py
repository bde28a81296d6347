"""The reference model in a precision of fewer bits: the most that such a precision may change, in formulas of float64.

It rounds where frameworks round when they compute in a lower precision and accumulate in float32: in TF32 the operands
of products; in mixed precision also the results of every layer with a product, forward and backward, and the hidden and
cell states of an LSTM at every step. Weights, optimizer and loss are not rounded. Near ties are decided as they fall or
the other way (`crossframe.harness.parity.near_ties`); the larger change of the two is what a precision may cost.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import crossframe.backends.reference.model as reference
from crossframe.backends.contract import LOSS_SCALE, Dialect
from crossframe.backends.reference.activations import Backward, Forward, sigmoid
from crossframe.backends.reference.layers import LAYERS, lstm_backward
from crossframe.harness.parity.near_ties import near_tie_layers
from crossframe.tasks import spec
from crossframe.tasks.spec import Arrays, Task

Round = Callable[[np.ndarray], np.ndarray]


def round_to_bits(bits: int) -> Round:
    """Return a function that rounds to a significand of `bits` bits and the exponent of float32.

    The leading bit is counted. Rounding is to nearest, ties to even.
    """
    drop = np.uint32(24 - bits)
    lowest, below_half = np.uint32(1), np.uint32(2 ** (23 - bits) - 1)

    def to_bits(x: np.ndarray) -> np.ndarray:
        raw = x.astype(np.float32).view(np.uint32)
        raw = (raw + below_half + ((raw >> drop) & lowest)) >> drop << drop
        return raw.view(np.float32).astype(np.float64)

    return to_bits


def round_to_half(x: np.ndarray) -> np.ndarray:
    """Round to IEEE 754 binary16."""
    return x.astype(np.float16).astype(np.float64)


def round_scaled(rounding: Round) -> Round:
    """Return a function that rounds gradients as if the loss were scaled."""
    return lambda x: rounding(x * LOSS_SCALE) / LOSS_SCALE


def keep_exact(x: np.ndarray) -> np.ndarray:
    """Return the argument."""
    return x


@dataclass(frozen=True)
class Rounding:
    """Where a precision rounds around a product."""

    operand: Round
    result: Round
    gradient_operand: Round
    gradient_result: Round


ROUNDING: dict[str, Rounding] = {
    "tf32": Rounding(round_to_bits(11), keep_exact, round_to_bits(11), keep_exact),
    "bfloat16": Rounding(*(round_to_bits(8),) * 4),
    "float16": Rounding(round_to_half, round_to_half, round_scaled(round_to_half), round_scaled(round_to_half)),
}

# The size of a near tie: a quarter of the rounding of one number. XLA sums float16 in another order than the others;
# one unit decided differently changed the gradient of the autoencoder by 1.7e-2, rounding alone by 8e-4.
TIE = {"tf32": 2.0**-13, "float16": 2.0**-13, "bfloat16": 2.0**-10}


def round_layer(forward: Forward, backward: Backward, rounding: Rounding) -> tuple[Forward, Backward]:
    """Return the forward and backward pass of a layer with rounding."""

    def rounded_forward(layer: Any, p: Arrays, x: np.ndarray) -> tuple[np.ndarray, Any]:
        y, cache = forward(layer, {name: rounding.operand(value) for name, value in p.items()}, rounding.operand(x))
        return rounding.result(y), cache

    def rounded_backward(layer: Any, p: Arrays, cache: Any, dy: np.ndarray) -> tuple[np.ndarray, Arrays]:
        parameters = {name: rounding.operand(value) for name, value in p.items()}
        dx, gradients = backward(layer, parameters, cache, rounding.gradient_operand(dy))
        return rounding.gradient_result(dx), {
            name: rounding.gradient_result(value) for name, value in gradients.items()
        }

    return rounded_forward, rounded_backward


def round_lstm_states(rounding: Rounding) -> Forward:
    """Return `crossframe.backends.reference.layers.lstm` with its gates and states rounded at every step."""
    to_operand, to_result = rounding.operand, rounding.result

    def lstm(layer: spec.LSTM, p: Arrays, x: np.ndarray) -> tuple[np.ndarray, Any]:
        batch, steps, _ = x.shape
        h = c = np.zeros((batch, layer.units))
        hidden, caches = [], []
        for t in range(steps):
            h_before, c_before = to_operand(h), c
            i, f, g, o = np.split(to_result(x[:, t] @ p["w_x"] + h_before @ p["w_h"] + p["b"]), 4, axis=1)
            i, f, g, o = (to_result(gate) for gate in (sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)))
            c = to_result(f * c_before + i * g)
            h = to_result(o * np.tanh(c))
            caches.append((i, f, g, o, h_before, c_before, np.tanh(c)))
            hidden.append(h)
        return np.stack(hidden, axis=1), (x, caches)

    return lstm


class LowPrecisionModel(reference.Model):
    """The reference model with the rounding of a precision."""

    def __init__(self, task: Task, weights: Arrays, precision: str, dialect: Dialect, flip_near_ties: bool) -> None:
        super().__init__(task, weights, np.dtype("float64"), dialect)
        rounding = ROUNDING[precision]
        products: dict[type, tuple[Forward, Backward]] = {kind: LAYERS[kind] for kind in (spec.Dense, spec.Conv2D)}
        products[spec.LSTM] = (round_lstm_states(rounding), lstm_backward)
        rounded = {kind: round_layer(*passes, rounding) for kind, passes in products.items()}
        self.layers = LAYERS | near_tie_layers(TIE[precision] if flip_near_ties else 0.0) | rounded
