from crossframe.backends.mxnet.model import MODES, prepare
from crossframe.backends.mxnet.optimizers import DIALECT

__all__ = ["DIALECT", "MODES", "prepare"]
