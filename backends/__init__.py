"""The backends: the folders here, and those that other distributions announce in the group `crossframe.backends`.

Found and read (`backend.toml`), never imported: only a worker imports a backend, in that backend's own environment.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Backend:
    """A backend as its folder tells it."""

    name: str
    module: str  # what a worker imports
    folder: Path
    facts: dict[str, Any]  # backend.toml

    @property
    def modes(self) -> list[str]:
        """Its ways of executing, the default first."""
        return list(self.facts["modes"])

    @property
    def has_builds(self) -> bool:
        """Whether it names what to install; what does not runs in our own interpreter, on the CPU."""
        return "install" in self.facts

    @property
    def top_level(self) -> Path:
        """The folder of the package that a worker must be able to import."""
        return self.folder.parents[self.module.count(".") - 1] if "." in self.module else self.folder

    def requirements(self, device_kind: str) -> Path | None:
        """The pinned requirements for `cpu` or `cuda`; None where it names none."""
        install = self.facts.get("install", {}).get(device_kind)
        return self.folder / install["requirements"] if install else None


def read(name: str, module: str, folder: Path) -> Backend:
    return Backend(name, module, folder, tomllib.loads((folder / "backend.toml").read_text()))


def discover() -> dict[str, Backend]:
    """Backend name -> backend; ours first, in the order of their names. ValueError where a stranger takes our name."""
    folders = sorted(path.parent for path in HERE.glob("*/backend.toml"))
    found = {folder.name: read(folder.name, f"crossframe.backends.{folder.name}", folder) for folder in folders}
    for point in sorted(entry_points(group="crossframe.backends"), key=lambda point: point.name):
        if point.name in found:
            raise ValueError(f"a backend called {point.name} is there already; rename the one of {point.dist}")
        top, *rest = point.value.split(".")
        spec = find_spec(top)  # of the top-level package alone: finding a submodule would import its parents
        if spec is None or spec.origin is None:
            raise ValueError(f"the backend {point.name} says that it is {point.value}, which can't be found")
        found[point.name] = read(point.name, point.value, Path(spec.origin).parent.joinpath(*rest))
    return found
