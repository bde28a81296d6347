"""The tasks: every module of this folder that holds `PRESETS`, preset name -> `Task`, is one."""

from importlib import import_module
from pkgutil import iter_modules

from crossframe.tasks.spec import Task

NOT_TASKS = {"spec", "widen", "describe", "data"}


def discover() -> dict[str, dict[str, Task]]:
    """Task name -> its presets, in the order of their names."""
    names = [module.name for module in iter_modules(__path__) if module.name not in NOT_TASKS]
    return {name: import_module(f"crossframe.tasks.{name}").PRESETS for name in sorted(names)}
