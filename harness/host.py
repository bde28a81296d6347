"""What this machine is: the fingerprint that a run carries, and the devices that it has."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path
from typing import Any

from harness.exits import Missing, Usage


def first_match(pattern: str, path: str) -> str | None:
    """The first group of a pattern in a file; None where either is missing."""
    file = Path(path)
    found = re.search(pattern, file.read_text()) if file.exists() else None
    return found[1].strip() if found else None


def gpus() -> list[dict[str, Any]]:
    """The NVIDIA GPUs that the driver shows, in its order; empty where there is no driver."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(place) for place in range(pynvml.nvmlDeviceGetCount())]
        driver = pynvml.nvmlSystemGetDriverVersion()
        return [
            {
                "name": pynvml.nvmlDeviceGetName(handle),
                "driver": driver,
                "memory_bytes": pynvml.nvmlDeviceGetMemoryInfo(handle).total,
                "compute_capability": ".".join(map(str, pynvml.nvmlDeviceGetCudaComputeCapability(handle))),
            }
            for handle in handles
        ]
    finally:
        pynvml.nvmlShutdown()


def fingerprint() -> dict[str, Any]:
    """Processor, memory, GPUs and system; None for what this machine does not tell."""
    memory_kb = first_match(r"MemTotal:\s+(\d+)", "/proc/meminfo")
    return {
        "cpu": first_match(r"model name\s*: (.+)", "/proc/cpuinfo") or platform.processor() or None,
        "processors": os.cpu_count(),
        "affinity": sorted(os.sched_getaffinity(0)),
        "governor": first_match(r"(\w+)", "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "memory_bytes": int(memory_kb) * 1024 if memory_kb else None,
        "kernel": platform.release(),
        "system": first_match(r'PRETTY_NAME="(.+)"', "/etc/os-release"),
        "python": platform.python_version(),
        "gpus": gpus(),
    }


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
