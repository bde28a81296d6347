"""The arithmetic of each precision in JAX: the type of weights and loss, and the type that the network computes in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import optax
from jax import Array
from jax import numpy as jnp

from crossframe.backends.contract import LOSS_SCALE, SCALE_GROWS_AFTER, check_precision
from crossframe.tasks.spec import Task


@dataclass(frozen=True)
class Arithmetic:
    """The types of a network in one precision."""

    storage_dtype: str
    compute_dtype: str | None = None  # None: as the weights
    matmul_precision: str = "highest"  # of float32 products, by JAX's names

    @property
    def needs_loss_scaler(self) -> bool:
        """Whether the range of the type is so small that gradients need a loss scaler."""
        return self.compute_dtype == "float16"


PRECISIONS = {
    "float32": Arithmetic("float32"),
    "float64": Arithmetic("float64"),
    "tf32": Arithmetic("float32", matmul_precision="tensorfloat32"),
    "bfloat16": Arithmetic("float32", "bfloat16"),
    "float16": Arithmetic("float32", "float16"),
}


def configure(task: Task, device: str, precision: str) -> Arithmetic:
    """Set JAX's switches for a precision and return its arithmetic; Unsupported if it is not available."""
    check_precision(precision, PRECISIONS, device)
    arithmetic = PRECISIONS[precision]
    # TF32 or bfloat16 in matrix products and convolutions only on request: float32 means float32.
    jax.config.update("jax_default_matmul_precision", arithmetic.matmul_precision)
    return arithmetic


def mix_precision(network: Callable[..., Any], arithmetic: Arithmetic) -> Callable[..., Any]:
    """Return the network computing in its arithmetic, with outputs in the type of the loss.

    The buffers keep their type.
    """
    if arithmetic.compute_dtype is None:
        return network

    def forward(parameters: dict[str, Array], buffers: dict[str, Array], x: Array) -> Any:
        parameters, x = jax.tree.map(lambda array: array.astype(arithmetic.compute_dtype), (parameters, x))
        results = network(parameters, buffers, x)
        return jax.tree.map(lambda array: array.astype(arithmetic.storage_dtype), results)

    return forward


class LossScaler(NamedTuple):
    """A loss scaler: its state, and that of the optimizer within it."""

    scale: Array
    updates: Array  # since the scale changed
    optimizer: optax.OptState


def add_loss_scaler(optimizer: optax.GradientTransformation, arithmetic: Arithmetic) -> optax.GradientTransformation:
    """Return the optimizer with a loss scaler around it, if gradients need one.

    The result takes the gradients of `scale` times the loss, and skips an update that is not finite. optax itself has
    `apply_if_finite`, but no dynamic scale.
    """
    if not arithmetic.needs_loss_scaler:
        return optimizer

    def init(parameters: optax.Params) -> LossScaler:
        return LossScaler(jnp.float32(LOSS_SCALE), jnp.int32(0), optimizer.init(parameters))

    def update(
        gradients: optax.Updates, state: LossScaler, parameters: optax.Params | None = None
    ) -> tuple[optax.Updates, LossScaler]:
        gradients = jax.tree.map(lambda gradient: gradient / state.scale, gradients)
        finite = jnp.array([jnp.isfinite(gradient).all() for gradient in jax.tree.leaves(gradients)]).all()
        changes, inner = optimizer.update(gradients, state.optimizer, parameters)
        changes = jax.tree.map(lambda change: jnp.where(finite, change, 0), changes)
        inner = jax.tree.map(lambda new, old: jnp.where(finite, new, old), inner, state.optimizer)
        grows = state.updates + 1 >= SCALE_GROWS_AFTER
        scale = state.scale * jnp.where(finite, jnp.where(grows, 2.0, 1.0), 0.5).astype(jnp.float32)
        return changes, LossScaler(scale, jnp.where(finite & ~grows, state.updates + 1, 0), inner)

    return optax.GradientTransformation(init, update)  # type: ignore[arg-type]
