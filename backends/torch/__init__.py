from crossframe.backends.torch.model import MODES, prepare
from crossframe.backends.torch.optimizers import DIALECT

__all__ = ["DIALECT", "MODES", "prepare"]
