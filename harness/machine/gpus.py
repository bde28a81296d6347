"""TODO: say what this module is."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import Any

from crossframe.backends import Backend
from crossframe.harness.errors import Missing, Usage


def visible(uuids: list[str]) -> list[int]:
    """The places of the GPUs that CUDA shows to a process, of all, in the order of their places on the bus.

    $CUDA_VISIBLE_DEVICES names places, or the beginnings of uuids; CUDA stops at the first that does not exist.
    """
    asked = os.environ.get("CUDA_VISIBLE_DEVICES")
    if asked is None:
        return list(range(len(uuids)))
    found: list[int] = []
    for word in asked.replace(" ", "").split(","):
        named = [place for place, uuid in enumerate(uuids) if word in (str(place), uuid[: len(word)])]
        if not word or not named:
            break
        found.append(named[0])
    return found


def handles() -> list[Any]:
    """NVML's handle of each card, so that the N-th is `cuda:N` (workers get CUDA_DEVICE_ORDER=PCI_BUS_ID); NVML is on.

    MIG slices are no cards of their own here.
    """
    import pynvml

    known: dict[str, Any] = {}
    for place in range(pynvml.nvmlDeviceGetCount()):
        with suppress(pynvml.NVMLError):  # one that is lost, or that we may not open: CUDA leaves it out as well
            handle = pynvml.nvmlDeviceGetHandleByIndex(place)
            known[pynvml.nvmlDeviceGetUUID(handle)] = handle
    return [list(known.values())[place] for place in visible(list(known))]


def gpus() -> list[dict[str, Any]]:
    """The NVIDIA GPUs that a worker would see, in the order of `cuda:N`; empty where there is no driver."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        driver = pynvml.nvmlSystemGetDriverVersion()
        return [
            {
                "name": pynvml.nvmlDeviceGetName(handle),
                "driver": driver,
                "memory_bytes": pynvml.nvmlDeviceGetMemoryInfo(handle).total,
                "compute_capability": ".".join(map(str, pynvml.nvmlDeviceGetCudaComputeCapability(handle))),
            }
            for handle in handles()
        ]
    finally:
        pynvml.nvmlShutdown()


def numbers(version: Any) -> tuple[int, ...]:
    """`580.65.06` -> (580, 65, 6)."""
    return tuple(int(part) for part in re.findall(r"\d+", str(version)))


def unfit(install: dict[str, Any], gpu: dict[str, Any]) -> str | None:
    """Why a build cannot run on a card, by the limits in its `[install.cuda]`; None if it can, or names no limit."""
    driver, capability = gpu["driver"], gpu["compute_capability"]
    least, greatest = install.get("least_capability"), install.get("greatest_capability")
    if numbers(driver) < numbers(install.get("least_driver", "0")):
        older = f" ({install['older_drivers']})" if "older_drivers" in install else ""
        return f"its build needs driver {install['least_driver']} or newer, here is {driver}{older}"
    if least and numbers(capability) < numbers(least):
        return f"its build has code for compute capability {least} and newer, the {gpu['name']} has {capability}"
    if greatest and numbers(capability) > numbers(greatest):
        return f"its build has code for compute capability up to {greatest}, the {gpu['name']} has {capability}"
    return None


def refusal(backend: Backend, device: str) -> str | None:
    """Why the build that a backend names for a device will not run there, known beforehand; None if it should."""
    kind, _, number = device.partition(":")
    install = backend.facts.get("install", {}).get(kind)
    if not backend.has_builds or (kind == "cpu" and install):
        return None
    if install is None:
        return f"{backend.name} names no requirements for {kind}"
    there = gpus()
    if int(number or 0) >= len(there):
        return f"{device} is not there"
    why = unfit(install, there[int(number or 0)])
    return why and f"{why}; `run` and `portability` take a build of your own: --python {backend.name}=PATH"


def resolve_device(asked: str) -> str:
    """`auto`, `cpu`, `cuda` or `cuda:N` -> `cpu` or `cuda:N`. Usage for another word, Missing if absent."""
    if asked == "cpu":
        return "cpu"
    if asked not in ("auto", "cuda") and not re.fullmatch(r"cuda:\d+", asked):
        raise Usage(f"no device is called {asked!r}; there are auto, cpu, cuda and cuda:N")
    there = gpus()
    if asked == "auto":
        return "cuda:0" if there else "cpu"
    number = int(asked.partition(":")[2] or 0)
    if number >= len(there):
        raise Missing(
            f"{asked} is not there: the driver shows {len(there) or 'no'} NVIDIA GPU{'s' * (len(there) != 1)}; "
            "run `crossframe doctor` to see what this machine has, or take --device cpu"
        )
    return f"cuda:{number}"
