"""Discovery of backends: the folders here, and the entry points of other distributions in `crossframe.backends`.

Discovery reads manifests and never imports a backend. Only a worker imports one, in the backend's own environment.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path

from crossframe.backends.manifest import EnvironmentManifest, Manifest, read_manifest

FOLDER = Path(__file__).parent
GROUP = "crossframe.backends"  # of the entry points


@dataclass(frozen=True)
class Plugin:
    """A module that runs in a worker, in an environment of its own."""

    name: str
    module: str  # as a worker imports it
    folder: Path  # with the manifest and the pinned requirements
    manifest: EnvironmentManifest

    @property
    def has_builds(self) -> bool:
        """Whether the manifest has an installation; without one the plugin runs in this interpreter, on the CPU."""
        return bool(self.manifest.install)

    @property
    def top_level(self) -> Path:
        """The folder of the top-level package of `module`."""
        return self.folder.parents[self.module.count(".") - 1] if "." in self.module else self.folder

    def requirements(self, device_kind: str) -> Path | None:
        """Return the file of pinned requirements for `cpu` or `cuda`; None if there is no build for it."""
        recipe = self.manifest.install.get(device_kind)
        return self.folder / recipe.requirements if recipe else None


@dataclass(frozen=True)
class Backend(Plugin):
    """A framework that can learn the tasks."""

    manifest: Manifest


def read_backend(name: str, module: str, folder: Path) -> Backend:
    """Return the backend in `folder`; ManifestError if its `backend.toml` is not valid."""
    return Backend(name, module, folder, read_manifest(folder / "backend.toml", Manifest))


def find_folder(point: EntryPoint) -> Path:
    """Return the folder of the module that an entry point names, without importing it; ValueError if there is none."""
    top, *rest = point.value.split(".")
    spec = find_spec(top)  # of the top-level package only: find_spec of a submodule imports its parents
    if spec is None or spec.origin is None:
        raise ValueError(f"the entry point {point.name} of {GROUP} names {point.value}, which is not installed")
    return Path(spec.origin).parent.joinpath(*rest)


def discover() -> dict[str, Backend]:
    """Return all backends by name: built-in ones first, then third-party ones, each in alphabetical order.

    ValueError if a third-party backend has the name of another one; ManifestError (a ValueError) for a manifest that
    is not valid or that states another version of the contract.
    """
    folders = sorted(path.parent for path in FOLDER.glob("*/backend.toml"))
    backends = {folder.name: read_backend(folder.name, f"{__name__}.{folder.name}", folder) for folder in folders}
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        if point.name in backends:
            raise ValueError(f"there are two backends called {point.name}; rename the one of {point.dist}")
        backends[point.name] = read_backend(point.name, point.value, find_folder(point))
    return backends
