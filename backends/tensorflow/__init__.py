"""TensorFlow as a backend."""

from crossframe.backends.tensorflow.ceilings import ceiling
from crossframe.backends.tensorflow.model import MODES, prepare
from crossframe.backends.tensorflow.optimizers import DIALECT
from crossframe.backends.tensorflow.profiler import profile

__all__ = ["DIALECT", "MODES", "ceiling", "prepare", "profile"]
