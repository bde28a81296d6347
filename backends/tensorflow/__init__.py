from crossframe.backends.tensorflow.model import MODES, prepare
from crossframe.backends.tensorflow.optimizers import DIALECT

__all__ = ["DIALECT", "MODES", "prepare"]
