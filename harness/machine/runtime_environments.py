"""The runtimes' environments, each for the device that it runs on. Apart from the runtimes, which cells import."""

from __future__ import annotations

from pathlib import Path

from crossframe.harness.machine.environments import Environment, make_environments
from crossframe.harness.machine.gpus import refusal
from crossframe.harness.runtimes import Runtime


def make_runtime_environments(wanted: list[Runtime], device: str, own: dict[str, Path]) -> tuple[dict[str, Environment], dict[str, str]]:
    """(runtime name -> environment, runtime name -> why it has none). `own`: interpreters that take their place."""
    refused = {runtime.name: refusal(runtime, runtime.device_for(device)) for runtime in wanted if runtime.name not in own}
    failed = {name: reason for name, reason in refused.items() if reason}
    ready: dict[str, Environment] = {}
    for place in ("cpu", device):
        there = [runtime for runtime in wanted if runtime.device_for(device) == place and runtime.name not in failed]
        made_here, failed_here = make_environments(there, place.partition(":")[0], own)
        ready, failed = ready | made_here, failed | failed_here
    return ready, failed
