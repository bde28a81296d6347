"""The oracle in a precision of fewer bits: what such a precision may cost, though its formulas stay those of float64.

Rounded is what a framework rounds where it computes in a lower precision and sums up in float32: in TF32 what goes into
a product, in mixed precision also what every layer with a product gives back, in both directions; an LSTM's hidden and
cell states at every step. Weights, optimizer and loss are left alone. Near ties are decided as they
fall or, as in `contrary`, the other way: of both, what costs more is what a precision may cost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import crossframe.backends.reference.model as reference
from crossframe.backends.contract import LOSS_SCALE
from crossframe.backends.reference.layers import LAYERS, Backward, Forward, lstm_backward, sigmoid
from crossframe.harness.parity.near_ties import contrary_layers
from crossframe.tasks import spec
from crossframe.tasks.spec import Arrays, Task

Round = Callable[[np.ndarray], np.ndarray]


def shortened(bits: int) -> Round:
    """To a mantissa of so many bits, the leading one counted, and float32's exponent: the nearest, ties to even."""
    drop = np.uint32(24 - bits)
    one, below_half = np.uint32(1), np.uint32(2 ** (23 - bits) - 1)

    def to(x: np.ndarray) -> np.ndarray:
        raw = x.astype(np.float32).view(np.uint32)
        raw = (raw + below_half + ((raw >> drop) & one)) >> drop << drop
        return raw.view(np.float32).astype(np.float64)

    return to


def half(x: np.ndarray) -> np.ndarray:
    """To IEEE's binary16."""
    return x.astype(np.float16).astype(np.float64)


def scaled(to: Round) -> Round:
    """As gradients are rounded where the loss is scaled."""
    return lambda x: to(x * LOSS_SCALE) / LOSS_SCALE


def exactly(x: np.ndarray) -> np.ndarray:
    return x


# Precision -> rounding of what goes into a product, of what comes out, and of gradients: in, out.
ROUNDING: dict[str, tuple[Round, Round, Round, Round]] = {
    "tf32": (shortened(11), exactly, shortened(11), exactly),
    "bfloat16": (shortened(8),) * 4,
    "float16": (half, half, scaled(half), scaled(half)),
}

# A tie between two decisions (see `contrary`): a quarter of what rounding one number may change. XLA sums float16 up in
# another way than the others; one unit decided otherwise cost the autoencoder's gradient 1.7e-2, rounding alone 8e-4.
TIE = {"tf32": 2.0**-13, "float16": 2.0**-13, "bfloat16": 2.0**-10}


def rounded(forward: Forward, backward: Backward, rounding: tuple[Round, Round, Round, Round]) -> Any:
    """(forward, backward) of a layer, as they are in a precision."""
    goes_in, comes_out, gradient_in, gradient_out = rounding

    def rounded_forward(layer: Any, p: Arrays, x: np.ndarray) -> tuple[np.ndarray, Any]:
        y, kept = forward(layer, {name: goes_in(value) for name, value in p.items()}, goes_in(x))
        return comes_out(y), kept

    def rounded_backward(layer: Any, p: Arrays, kept: Any, dy: np.ndarray) -> tuple[np.ndarray, Arrays]:
        own = {name: goes_in(value) for name, value in p.items()}
        dx, gradients = backward(layer, own, kept, gradient_in(dy))
        return gradient_out(dx), {name: gradient_out(value) for name, value in gradients.items()}

    return rounded_forward, rounded_backward


def stepwise(goes_in: Round, comes_out: Round) -> Forward:
    """`crossframe.backends.reference.layers.lstm`, its states rounded at every step."""

    def lstm(layer: spec.LSTM, p: Arrays, x: np.ndarray) -> tuple[np.ndarray, Any]:
        batch, steps, _ = x.shape
        h = c = np.zeros((batch, layer.units))
        hidden, kept = [], []
        for t in range(steps):
            h_before, c_before = goes_in(h), c
            i, f, g, o = np.split(comes_out(x[:, t] @ p["w_x"] + h_before @ p["w_h"] + p["b"]), 4, axis=1)
            i, f, g, o = (comes_out(gate) for gate in (sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)))
            c = comes_out(f * c_before + i * g)
            h = comes_out(o * np.tanh(c))
            kept.append((i, f, g, o, h_before, c_before, np.tanh(c)))
            hidden.append(h)
        return np.stack(hidden, axis=1), (x, kept)

    return lstm


class Rounded(reference.Model):
    def __init__(self, task: Task, weights: Arrays, precision: str, dialect: Mapping[str, Any], contrary: bool):
        super().__init__(task, weights, np.dtype("float64"), dialect)
        rounding = ROUNDING[precision]
        products: dict[type, tuple[Forward, Backward]] = {kind: LAYERS[kind] for kind in (spec.Dense, spec.Conv2D)}
        products[spec.LSTM] = (stepwise(*rounding[:2]), lstm_backward)
        low = {kind: rounded(*functions, rounding) for kind, functions in products.items()}
        self.layers = LAYERS | contrary_layers(TIE[precision] if contrary else 0.0) | low
