"""A matrix product and a copy in JAX, for measuring the ceilings of a device."""

from __future__ import annotations

import jax
from jax import numpy as jnp

from crossframe.backends.contract import RepeatedOperation
from crossframe.backends.jax.model import Model


def ceiling(model: Model, side: int, size: int) -> tuple[RepeatedOperation, RepeatedOperation]:
    """Return `matmul` of `side` x `side` matrices and `copy` of `size` bytes.

    Each repetition uses the result of the one before, so that the wait for the last one includes all.
    """
    # Divided by the root of `side`, so that products of many such matrices neither overflow nor vanish.
    square = (jax.random.normal(jax.random.key(0), (side, side)) / side**0.5).astype(model.compute_dtype)
    source = jnp.ones(size // 4, jnp.float32)
    compiled_matmul, compiled_copy = jax.jit(jnp.matmul), jax.jit(jnp.copy)

    def multiply(times: int) -> None:
        product = square
        for _ in range(times):
            product = compiled_matmul(square, product)
        product.block_until_ready()

    def copy(times: int) -> None:
        array = source
        for _ in range(times):
            array = compiled_copy(array)
        array.block_until_ready()

    return multiply, copy
