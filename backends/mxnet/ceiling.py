"""A product and a copy, to see what the device can do at most in MXNet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mxnet as mx
from mxnet.contrib import amp

from crossframe.backends.contract import Work, repeated

if TYPE_CHECKING:
    from crossframe.backends.mxnet.model import Model


def works(model: Model, side: int, size: int) -> tuple[Work, Work]:
    """`FullyConnected`, since on a CPU `dot` knows no bfloat16, and `copyto`."""
    dtype = amp.amp.bfloat16 if model.computed == "bfloat16" else model.computed  # NumPy has no such word
    square = mx.nd.random.uniform(shape=(side, side), ctx=model.device).astype(dtype)
    source = mx.nd.ones((size // 4,), model.device)
    target = mx.nd.zeros_like(source)

    def multiply() -> None:
        mx.nd.FullyConnected(square, square, num_hidden=side, no_bias=True)

    return repeated(multiply, model.sync), repeated(lambda: source.copyto(target), model.sync)
