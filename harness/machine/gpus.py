"""The NVIDIA GPUs of this machine, and the requirements of builds for GPUs."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import Any, TypeAlias

from crossframe.backends import Plugin
from crossframe.backends.manifest import InstallRecipe
from crossframe.harness.errors import MissingError, UsageError
from crossframe.harness.records.model import GpuInfo

NvmlHandle: TypeAlias = Any  # opaque: pynvml has no types


def select_visible(uuids: list[str]) -> list[int]:
    """Return the indices of the GPUs that CUDA shows to a process, given the UUIDs of all GPUs in PCI bus order.

    $CUDA_VISIBLE_DEVICES lists indices or prefixes of UUIDs. CUDA ignores everything after the first invalid entry.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return list(range(len(uuids)))
    indices: list[int] = []
    for entry in visible.replace(" ", "").split(","):
        matches = [index for index, uuid in enumerate(uuids) if entry in (str(index), uuid[: len(entry)])]
        if not entry or not matches:
            break
        indices.append(matches[0])
    return indices


def open_handles() -> list[NvmlHandle]:
    """Return the NVML handles of the visible GPUs, so that index N is `cuda:N`; call after `nvmlInit`.

    Workers get CUDA_DEVICE_ORDER=PCI_BUS_ID, hence the same order. MIG slices are not counted as GPUs.
    """
    import pynvml

    handles: dict[str, NvmlHandle] = {}
    for index in range(pynvml.nvmlDeviceGetCount()):
        with suppress(pynvml.NVMLError):  # a GPU that is lost or not permitted; CUDA omits it as well
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            handles[pynvml.nvmlDeviceGetUUID(handle)] = handle
    return [list(handles.values())[index] for index in select_visible(list(handles))]


def list_gpus() -> list[GpuInfo]:
    """Return the NVIDIA GPUs that a worker can use, in the order of `cuda:N`; an empty list without a driver."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        driver = pynvml.nvmlSystemGetDriverVersion()
        return [
            GpuInfo(
                name=pynvml.nvmlDeviceGetName(handle),
                driver=driver,
                memory_bytes=pynvml.nvmlDeviceGetMemoryInfo(handle).total,
                compute_capability=".".join(map(str, pynvml.nvmlDeviceGetCudaComputeCapability(handle))),
            )
            for handle in open_handles()
        ]
    finally:
        pynvml.nvmlShutdown()


def parse_version(version: str) -> tuple[int, ...]:
    """Return the numbers of a version: `580.65.06` -> (580, 65, 6)."""
    return tuple(int(part) for part in re.findall(r"\d+", version))


def check_build(recipe: InstallRecipe, gpu: GpuInfo) -> str | None:
    """Return the requirement of a build that a GPU or its driver does not meet; None if it meets all."""
    capability = parse_version(gpu.compute_capability)
    if recipe.least_driver and parse_version(gpu.driver) < parse_version(recipe.least_driver):
        advice = f" ({recipe.older_drivers})" if recipe.older_drivers else ""
        return f"its build needs driver {recipe.least_driver} or newer; the installed driver is {gpu.driver}{advice}"
    if recipe.least_capability and capability < parse_version(recipe.least_capability):
        return (
            f"its build supports compute capability {recipe.least_capability} and newer; "
            f"the {gpu.name} has {gpu.compute_capability}"
        )
    if recipe.greatest_capability and capability > parse_version(recipe.greatest_capability):
        return (
            f"its build supports compute capability up to {recipe.greatest_capability}; "
            f"the {gpu.name} has {gpu.compute_capability}"
        )
    return None


def refusal(plugin: Plugin, device: str) -> str | None:
    """Return the reason why a backend or runtime cannot run on a device; None if its build should run there."""
    kind, _, number = device.partition(":")
    recipe = plugin.manifest.install.get(kind)
    if not plugin.has_builds or (kind == "cpu" and recipe):
        return None
    if recipe is None:
        return f"{plugin.name} has no requirements for {kind}"
    gpus = list_gpus()
    if int(number or 0) >= len(gpus):
        return f"{device} does not exist"
    reason = check_build(recipe, gpus[int(number or 0)])
    if reason is None:
        return None
    return f"{reason}; `run` and `portability` can use an interpreter with another build: --python {plugin.name}=PATH"


def resolve_device(name: str) -> str:
    """Return `cpu` or `cuda:N` for `auto`, `cpu`, `cuda` or `cuda:N`.

    Raises UsageError for another name, MissingError for a GPU that does not exist.
    """
    if name == "cpu":
        return "cpu"
    if name not in ("auto", "cuda") and not re.fullmatch(r"cuda:\d+", name):
        raise UsageError(f"unknown device {name!r}; available: auto, cpu, cuda, cuda:N")
    gpus = list_gpus()
    if name == "auto":
        return "cuda:0" if gpus else "cpu"
    number = int(name.partition(":")[2] or 0)
    if number >= len(gpus):
        raise MissingError(
            f"{name} does not exist: the driver shows {len(gpus) or 'no'} NVIDIA GPU{'s' * (len(gpus) != 1)}; "
            "run `crossframe doctor` to inspect this machine, or use --device cpu"
        )
    return f"cuda:{number}"
