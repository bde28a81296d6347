from backends.jax.model import MODES, prepare
from backends.jax.optimizers import DIALECT

__all__ = ["DIALECT", "MODES", "prepare"]
