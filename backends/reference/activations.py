"""Activations in NumPy, each a function and its derivative: forward -> (output, cache), backward -> input gradient.

The cache of an activation is its derivative at the input.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from crossframe.tasks import spec
from crossframe.tasks.spec import Arrays

Cache = Any
Forward = Callable[[Any, Arrays, np.ndarray], tuple[np.ndarray, Cache]]
Backward = Callable[[Any, Arrays, Cache, np.ndarray], tuple[np.ndarray, Arrays]]

# Equation 2 of Hendrycks and Gimpel 2016.
GELU_SCALE, GELU_CUBIC = math.sqrt(2 / math.pi), 0.044715

erf = np.vectorize(math.erf, otypes=[np.float64])  # NumPy has none


def relu(layer: spec.ReLU, p: Arrays, x: np.ndarray) -> tuple[np.ndarray, Cache]:
    return np.maximum(x, 0), x > 0


def multiply_derivative(layer: Any, p: Arrays, derivative: np.ndarray, dy: np.ndarray) -> tuple[np.ndarray, Arrays]:
    """Return the gradient of the input of any activation."""
    return dy * derivative, {}


def leaky_relu(layer: spec.LeakyReLU, p: Arrays, x: np.ndarray) -> tuple[np.ndarray, Cache]:
    derivative = np.where(x > 0, 1, layer.slope).astype(x.dtype)
    return x * derivative, derivative


def elu(layer: spec.ELU, p: Arrays, x: np.ndarray) -> tuple[np.ndarray, Cache]:
    below = np.minimum(x, 0)
    return np.where(x > 0, x, np.expm1(below)), np.where(x > 0, 1, np.exp(below))


def sigmoid(x: np.ndarray) -> np.ndarray:
    # By tanh, since exp(-x) overflows for very negative x.
    return (1 + np.tanh(x / 2)) / 2


def logistic(layer: spec.Sigmoid, p: Arrays, x: np.ndarray) -> tuple[np.ndarray, Cache]:
    y = sigmoid(x)
    return y, y * (1 - y)


def tanh(layer: spec.Tanh, p: Arrays, x: np.ndarray) -> tuple[np.ndarray, Cache]:
    y = np.tanh(x)
    return y, 1 - y**2


def silu(layer: spec.SiLU, p: Arrays, x: np.ndarray) -> tuple[np.ndarray, Cache]:
    gate = sigmoid(x)
    return x * gate, gate * (1 + x * (1 - gate))


def gelu(layer: spec.GELU, p: Arrays, x: np.ndarray) -> tuple[np.ndarray, Cache]:
    if layer.approximate:
        gate = np.tanh(GELU_SCALE * (x + GELU_CUBIC * x**3))
        slope = GELU_SCALE * (1 + 3 * GELU_CUBIC * x**2)
        return x * (1 + gate) / 2, (1 + gate + x * (1 - gate**2) * slope) / 2
    share = ((1 + erf(x / math.sqrt(2))) / 2).astype(x.dtype)
    return x * share, share + x * np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)


def softplus(layer: spec.Softplus, p: Arrays, x: np.ndarray) -> tuple[np.ndarray, Cache]:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))), sigmoid(x)


ACTIVATIONS: dict[type, tuple[Forward, Backward]] = {
    spec.ReLU: (relu, multiply_derivative),
    spec.LeakyReLU: (leaky_relu, multiply_derivative),
    spec.ELU: (elu, multiply_derivative),
    spec.Sigmoid: (logistic, multiply_derivative),
    spec.Tanh: (tanh, multiply_derivative),
    spec.SiLU: (silu, multiply_derivative),
    spec.GELU: (gelu, multiply_derivative),
    spec.Softplus: (softplus, multiply_derivative),
}
