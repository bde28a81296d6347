"""The runtimes of ONNX files: the folders here. Found and read (`runtime.toml`), imported only within a cell's process.

A runtime is a module with `Session(path, threads, device)`, which reads the file, and which has

* `compile(example)`: ready to run any shape that the file leaves free, or the shapes of `example` alone;
* `run(feeds)`: input name -> array in, outputs in the order of the graph out;
* `facts`: what is to be known of how it runs (the engine, the precision), filled by then; `cost` among them says what
  it pays, right as it may be.

`device` is `cpu`, or `cuda:N` for a runtime that has a build for cards alone.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from crossframe.backends import Backend

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Runtime(Backend):
    """A runtime as its folder tells it; it has an environment of its own just as a backend has."""

    def place(self, device: str) -> str:
        """Where it runs when a matrix is asked for on `device`: on the CPU, if it has a build for it."""
        return "cpu" if "cpu" in self.facts["install"] else device


class Session(Protocol):
    """One file in one runtime."""

    facts: dict[str, str]

    def __init__(self, path: str, threads: int, device: str): ...

    def compile(self, example: dict[str, np.ndarray] | None) -> None: ...

    def run(self, feeds: dict[str, np.ndarray]) -> list[Any]: ...


def discover() -> dict[str, Runtime]:
    """Runtime name -> runtime, in the order of their names."""
    folders = sorted(path.parent for path in HERE.glob("*/runtime.toml"))
    return {
        folder.name: Runtime(
            folder.name, f"{__name__}.{folder.name}", folder, tomllib.loads((folder / "runtime.toml").read_text())
        )
        for folder in folders
    }


def on(device: str) -> dict[str, Runtime]:
    """Those with a build for the CPU, and, on `cuda:N`, those with one for cards."""
    kinds = {"cpu", device.partition(":")[0]}
    return {name: runtime for name, runtime in discover().items() if kinds & runtime.facts["install"].keys()}


MEMORY_BYTES = 8 * 2**30  # of address space, of which an allocator reserves far more than it uses
