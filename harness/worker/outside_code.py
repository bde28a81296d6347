"""The code that a worker imported from places that neither its interpreter nor its installed packages account for."""

from __future__ import annotations

import site
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

GENERATED = "__autograph_generated_file"  # written to a temporary folder by a tracer, from code that is listed itself
FOLDERS = ("stdlib", "platstdlib", "purelib", "platlib")  # of the standard library and of installed packages


def list_outside_files() -> list[str]:
    """Return the files of all imported modules outside of the standard library and of installed packages, sorted.

    Links are resolved, so code of an editable installation is outside.
    """
    paths = sysconfig.get_paths()
    installed = {Path(folder).resolve() for folder in (*map(paths.__getitem__, FOLDERS), *site.getsitepackages())}
    # Not by getattr, which makes lazy modules import.
    modules = (vars(module) for module in list(sys.modules.values()) if isinstance(module, ModuleType))
    files = {Path(names["__file__"]).resolve() for names in modules if isinstance(names.get("__file__"), str)}
    return sorted(
        str(file) for file in files if installed.isdisjoint(file.parents) and not file.name.startswith(GENERATED)
    )
