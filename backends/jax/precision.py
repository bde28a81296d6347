"""What each precision is in JAX: the type of weights and loss, and the type that the network is cast to within it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax
import optax
from jax import Array
from jax import numpy as jnp

from crossframe.backends.contract import LOSS_SCALE, SCALE_GROWS_AFTER, Unsupported


@dataclass(frozen=True)
class Precision:
    stored: str
    computed: str | None = None  # None: as stored
    products: str = "highest"  # of float32: JAX's word

    @property
    def scaled(self) -> bool:
        """Whether the range of numbers is so small that gradients need the loss scaled."""
        return self.computed == "float16"


PRECISIONS = {
    "float32": Precision("float32"),
    "float64": Precision("float64"),
    "tf32": Precision("float32", products="tensorfloat32"),
    "bfloat16": Precision("float32", "bfloat16"),
    "float16": Precision("float32", "float16"),
}


def settle(device: str, name: str) -> Precision:
    """The precision, all switches set for it; Unsupported where it cannot be had."""
    if name not in PRECISIONS:
        raise Unsupported(f"this backend trains in {', '.join(PRECISIONS)}, not in {name}")
    if name == "tf32" and device == "cpu":
        raise Unsupported("a product in TF32 needs an NVIDIA GPU; on the CPU there is none")
    # Unless asked for, no TF32 or bfloat16 in matrix products or convolutions: float32 shall mean float32.
    jax.config.update("jax_default_matmul_precision", PRECISIONS[name].products)
    return PRECISIONS[name]


class Scaled(NamedTuple):
    """What `scaling` keeps: the loss scale, the updates since it changed, and the state of the optimizer within."""

    scale: Array
    good: Array
    inner: optax.OptState


def scaling(optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
    """An optimizer that takes the gradients of `scale` times the loss, and leaves out an update that is not finite.

    The user of optax writes this: it knows `apply_if_finite`, but no scale that follows.
    """

    def init(parameters: optax.Params) -> Scaled:
        return Scaled(jnp.float32(LOSS_SCALE), jnp.int32(0), optimizer.init(parameters))

    def update(gradients: optax.Updates, state: Scaled, parameters: optax.Params | None = None) -> tuple:
        gradients = jax.tree.map(lambda gradient: gradient / state.scale, gradients)
        finite = jnp.array([jnp.isfinite(gradient).all() for gradient in jax.tree.leaves(gradients)]).all()
        changes, inner = optimizer.update(gradients, state.inner, parameters)
        changes = jax.tree.map(lambda change: jnp.where(finite, change, 0), changes)
        inner = jax.tree.map(lambda new, old: jnp.where(finite, new, old), inner, state.inner)
        grows = state.good + 1 >= SCALE_GROWS_AFTER
        scale = state.scale * jnp.where(finite, jnp.where(grows, 2.0, 1.0), 0.5).astype(jnp.float32)
        return changes, Scaled(scale, jnp.where(finite & ~grows, state.good + 1, 0), inner)

    return optax.GradientTransformation(init, update)  # type: ignore[arg-type]
