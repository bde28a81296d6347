"""A matrix product and a copy in MXNet, for measuring the ceilings of a device."""

from __future__ import annotations

import mxnet as mx
from mxnet.contrib import amp

from crossframe.backends.contract import RepeatedOperation, repeat_then_sync
from crossframe.backends.mxnet.model import Model


def ceiling(model: Model, side: int, size: int) -> tuple[RepeatedOperation, RepeatedOperation]:
    """Return `FullyConnected` of `side` x `side` matrices and `copyto` of `size` bytes.

    Not `dot`, which has no bfloat16 on a CPU.
    """
    dtype = amp.amp.bfloat16 if model.compute_dtype == "bfloat16" else model.compute_dtype  # NumPy has no such type
    square = mx.nd.random.uniform(shape=(side, side), ctx=model.device).astype(dtype)
    source = mx.nd.ones((size // 4,), model.device)
    target = mx.nd.zeros_like(source)

    def multiply() -> None:
        mx.nd.FullyConnected(square, square, num_hidden=side, no_bias=True)

    return repeat_then_sync(multiply, model.sync), repeat_then_sync(lambda: source.copyto(target), model.sync)
