"""What this machine is: the fingerprint that a run carries, and the devices that it has."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path
from typing import Any

from crossframe.harness.machine.gpus import gpus


def first_match(pattern: str, path: str) -> str | None:
    """The first group of a pattern in a file; None where either is missing."""
    file = Path(path)
    found = re.search(pattern, file.read_text()) if file.exists() else None
    return found[1].strip() if found else None


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
