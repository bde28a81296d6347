"""JAX as a backend."""

from crossframe.backends.jax.ceilings import ceiling
from crossframe.backends.jax.model import MODES, prepare
from crossframe.backends.jax.optimizers import DIALECT
from crossframe.backends.jax.profiler import profile

__all__ = ["DIALECT", "MODES", "ceiling", "prepare", "profile"]
