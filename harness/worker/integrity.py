"""The check that a backend does not replace the functions that measure it.

A backend runs in the process of the worker, so it could replace the clock, or a function of the worker. That cannot be
prevented here, but what the code of a library does by accident, or in plain sight, is found.
"""

from __future__ import annotations

import json
import sys
import time
from types import FunctionType, ModuleType

import numpy as np

WORKER = __name__.rpartition(".")[0]
FUNCTIONS = ((time, ("perf_counter", "process_time", "monotonic", "sleep")), (np, ("savez",)), (json, ("dumps",)))

Snapshot = dict[str, tuple[object, object]]  # full name of a function -> the function, its code


def take_snapshot() -> Snapshot:
    """Return the functions of the worker, and those of other modules that it measures and writes with."""
    modules = [module for name, module in sys.modules.items() if name == WORKER or name.startswith(f"{WORKER}.")]
    return {
        f"{module.__name__}.{name}": (value, getattr(value, "__code__", None))
        for module, names in [*((module, vars(module)) for module in modules), *FUNCTIONS]
        for name, value in list_functions(module, tuple(names))
    }


def list_functions(module: ModuleType, names: tuple[str, ...]) -> list[tuple[str, object]]:
    """Return (name, function) of the functions of a module among `names`, also of those that are built in."""
    values = [(name, getattr(module, name)) for name in names]
    return [(name, value) for name, value in values if isinstance(value, FunctionType) or type(value) is type(len)]


def list_replaced(before: Snapshot) -> list[str]:
    """Return the names of the functions that were replaced since a snapshot."""
    now = take_snapshot()
    return [name for name, value in before.items() if now.get(name) != value]
