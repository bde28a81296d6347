"""The tasks: every module of this folder with `PRESETS` (preset name -> `Task`) is a task."""

from importlib import import_module
from pkgutil import iter_modules

from crossframe.tasks.spec import Task

NOT_TASKS = {"spec", "widen", "describe", "data"}
CORE = ("autoencoder", "circle", "cnn", "lstm")  # those of a run that names none


def discover() -> dict[str, dict[str, Task]]:
    """Return task name -> preset name -> task, in the order of the names."""
    names = [module.name for module in iter_modules(__path__) if module.name not in NOT_TASKS]
    return {name: import_module(f"{__name__}.{name}").PRESETS for name in sorted(names)}
