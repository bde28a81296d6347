from crossframe.backends.reference.model import DIALECT, MODES, prepare

__all__ = ["DIALECT", "MODES", "prepare"]
