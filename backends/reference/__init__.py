"""NumPy as a backend: the reference model."""

from crossframe.backends.reference.ceilings import ceiling
from crossframe.backends.reference.model import DIALECT, MODES, prepare
from crossframe.backends.reference.profiler import profile

__all__ = ["DIALECT", "MODES", "ceiling", "prepare", "profile"]
