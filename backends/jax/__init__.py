from crossframe.backends.jax.model import MODES, prepare
from crossframe.backends.jax.optimizers import DIALECT

__all__ = ["DIALECT", "MODES", "prepare"]
