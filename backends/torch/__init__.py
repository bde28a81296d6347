"""PyTorch as a backend."""

from crossframe.backends.torch.ceilings import ceiling
from crossframe.backends.torch.model import MODES, prepare
from crossframe.backends.torch.optimizers import DIALECT
from crossframe.backends.torch.profiler import profile

__all__ = ["DIALECT", "MODES", "ceiling", "prepare", "profile"]
