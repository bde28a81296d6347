"""A product and a copy, to see what the device can do at most in JAX."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
from jax import numpy as jnp

from crossframe.backends.contract import Work

if TYPE_CHECKING:
    from crossframe.backends.jax.model import Model


def works(model: Model, side: int, size: int) -> tuple[Work, Work]:
    """`matmul` and `copy`, each of what came out of the one before: to wait for the last is to wait for all."""
    # Products of many such matrices are neither large nor small.
    square = (jax.random.normal(jax.random.key(0), (side, side)) / side**0.5).astype(model.computed)
    source = jnp.ones(size // 4, jnp.float32)
    product, copied = jax.jit(jnp.matmul), jax.jit(jnp.copy)

    def multiply(times: int) -> None:
        found = square
        for _ in range(times):
            found = product(square, found)
        found.block_until_ready()

    def copy(times: int) -> None:
        found = source
        for _ in range(times):
            found = copied(found)
        found.block_until_ready()

    return multiply, copy
