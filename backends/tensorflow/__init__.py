from backends.tensorflow.model import MODES, prepare
from backends.tensorflow.optimizers import DIALECT

__all__ = ["DIALECT", "MODES", "prepare"]
