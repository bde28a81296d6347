"""MXNet as a backend."""

from crossframe.backends.mxnet.ceilings import ceiling
from crossframe.backends.mxnet.model import MODES, prepare
from crossframe.backends.mxnet.optimizers import DIALECT
from crossframe.backends.mxnet.profiler import profile

__all__ = ["DIALECT", "MODES", "ceiling", "prepare", "profile"]
