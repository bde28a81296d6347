"""TODO: say what this module is."""

from __future__ import annotations

import json
import math
import os
import re
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NoReturn

from crossframe.harness.worker.epochs import Diverged
from crossframe.tasks.spec import Task

OUT_OF_MEMORY = re.compile(
    r"out of memory|\bOOM\b|RESOURCE_EXHAUSTED|bad_alloc|can't allocate memory|cannot allocate memory|"
    r"_ALLOC(ATION)?_FAILED",
    re.I,
)


NARROWEST_BYTES = 2  # of a parameter, in the narrowest precision


def reserved_bytes(model: Any) -> int | None:
    """What its allocator took of the device so far, at most; None where the backend does not tell."""
    return model.device_reserved_bytes() if hasattr(model, "device_reserved_bytes") else None


def proven_placement(model: Any, task: Task, device: str) -> str:
    """Where every parameter is and every result was, to be asked once there are some; RuntimeError if not on `device`.

    On a GPU its allocator must also have given out what they need at least. One that does not tell is not asked: what
    the driver saw of the card's memory is judged in its stead, by `crossframe.harness.analysis.gpu`.
    """
    place = model.placement()
    if place != device:
        raise RuntimeError(f"asked for {device}, but its parameters and results lie on {place}")
    peak = None if device == "cpu" else model.device_peak_bytes()
    needed = NARROWEST_BYTES * sum(math.prod(shape) for shape in task.parameters().values())
    if peak is not None and peak < needed:
        raise RuntimeError(f"asked for {device}, whose allocator gave out {peak} bytes; {needed} are needed at least")
    return place


def versions(packages: list[str]) -> dict[str, str]:
    """Package -> version, of those that are there: a build for one device may have a name of its own."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for package in packages:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def said(error: BaseException) -> str:
    """An error in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:500]


def state_of(error: Exception) -> str:
    if isinstance(error, Diverged):
        return "diverged"
    if type(error).__name__ == "Unsupported":
        return "unsupported"
    return "out_of_memory" if isinstance(error, MemoryError) or OUT_OF_MEMORY.search(str(error)) else "failed"


def write_measures(folder: Path, measures: dict[str, Any]) -> None:
    """Written aside and moved into place: that it is there means that it is whole."""
    aside = folder / "measures.json.part"
    aside.write_text(json.dumps(measures))
    aside.replace(folder / "measures.json")


def main(folder: Path, do: Callable[[dict[str, Any], Path, dict[str, Any]], None]) -> NoReturn:
    """Read the job, do it, leave its measures, whatever happens, and end the process."""
    job = json.loads((folder / "job.json").read_text())
    os.sched_setaffinity(0, job["cpus"])
    measures: dict[str, Any] = {"state": "ok", "reason": None}
    try:
        do(job, folder, measures)
    except Exception as error:
        traceback.print_exc()
        measures |= {"state": state_of(error), "reason": said(error)}
    measures.pop("after_first_epoch", None)
    write_measures(folder, measures)
    sys.stdout.flush()
    sys.stderr.flush()
    # All is said. To take itself down, a framework needs up to a second; the kernel needs none.
    os._exit(0)
