"""The description of this machine that every run stores."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

from crossframe.harness.machine.gpus import list_gpus
from crossframe.harness.records.model import Host


def search_file(pattern: str, path: str) -> str | None:
    """Return the first group of a pattern in a file; None if the file or a match is missing."""
    file = Path(path)
    match = re.search(pattern, file.read_text()) if file.exists() else None
    return match[1].strip() if match else None


def fingerprint() -> Host:
    """Return processor, memory, GPUs and system of this machine; None for properties that it does not report."""
    memory_kb = search_file(r"MemTotal:\s+(\d+)", "/proc/meminfo")
    return Host(
        cpu=search_file(r"model name\s*: (.+)", "/proc/cpuinfo") or platform.processor() or None,
        processors=os.cpu_count(),
        affinity=sorted(os.sched_getaffinity(0)),
        governor=search_file(r"(\w+)", "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        memory_bytes=int(memory_kb) * 1024 if memory_kb else None,
        kernel=platform.release(),
        system=search_file(r'PRETTY_NAME="(.+)"', "/etc/os-release"),
        python=platform.python_version(),
        gpus=list_gpus(),
    )
