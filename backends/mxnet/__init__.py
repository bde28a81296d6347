from backends.mxnet.model import MODES, prepare
from backends.mxnet.optimizers import DIALECT

__all__ = ["DIALECT", "MODES", "prepare"]
