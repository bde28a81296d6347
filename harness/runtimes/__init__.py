"""The ONNX runtimes: one folder each, with a `runtime.toml`, pinned requirements and a module.

Discovery reads the manifests and never imports a runtime. Only a worker imports one, in the runtime's own environment.
The module of a runtime has a class `Session`, as described by the protocol below.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from crossframe.backends import Plugin
from crossframe.backends.manifest import EnvironmentManifest, ManifestError, read_manifest

FOLDER = Path(__file__).parent
MEMORY_BYTES = 8 * 2**30  # of address space for one process; allocators reserve far more than they use


@dataclass(frozen=True, kw_only=True)
class RuntimeManifest(EnvironmentManifest):
    """The content of a `runtime.toml`."""


@dataclass(frozen=True)
class Runtime(Plugin):
    """An ONNX runtime with an environment of its own."""

    manifest: RuntimeManifest

    def device_for(self, device: str) -> str:
        """Return the device of this runtime if `device` is requested: `cpu` if it has a build for the CPU."""
        return "cpu" if "cpu" in self.manifest.install else device


class Session(Protocol):
    """One ONNX file, loaded in one runtime."""

    facts: dict[str, str]  # how it runs (engine, precision), complete after `compile`; `cost` names a drawback

    def __init__(self, path: str, threads: int, device: str) -> None:
        """Load the file. `device` is `cpu`, or `cuda:N` for a runtime that has a build for GPUs only."""

    def compile(self, example: dict[str, np.ndarray] | None) -> None:
        """Prepare for the shapes of `example` only, or for all shapes that the file permits if it is None."""

    def run(self, feeds: dict[str, np.ndarray]) -> list[Any]:
        """Return the outputs in the order of the graph, for inputs by name."""


def read_runtime(name: str, module: str, folder: Path) -> Runtime:
    """Return the runtime in `folder`; ManifestError if its `runtime.toml` is not valid."""
    path = folder / "runtime.toml"
    manifest = read_manifest(path, RuntimeManifest)
    if not manifest.install:
        raise ManifestError(f"{path}: the table `install.cpu` or `install.cuda` is missing")
    return Runtime(name, module, folder, manifest)


def discover() -> dict[str, Runtime]:
    """Return the runtimes by name, in alphabetical order."""
    folders = sorted(path.parent for path in FOLDER.glob("*/runtime.toml"))
    return {folder.name: read_runtime(folder.name, f"{__name__}.{folder.name}", folder) for folder in folders}


def find_runtimes(device: str) -> dict[str, Runtime]:
    """Return the runtimes that have a build for the CPU or, if `device` is `cuda:N`, one for GPUs."""
    kinds = {"cpu", device.partition(":")[0]}
    return {name: runtime for name, runtime in discover().items() if kinds & runtime.manifest.install.keys()}
