from backends.torch.model import MODES, prepare
from backends.torch.optimizers import DIALECT

__all__ = ["DIALECT", "MODES", "prepare"]
