"""The environments of ONNX runtimes, each for the kind of device of its runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from crossframe.harness.machine.environments import Environment, make_environments
from crossframe.harness.machine.gpus import refusal
from crossframe.harness.runtimes import Runtime


def make_runtime_environments(
    runtimes: Sequence[Runtime], device: str, interpreters: Mapping[str, Path]
) -> tuple[dict[str, Environment], dict[str, str]]:
    """Make the environments of runtimes for `device`.

    `interpreters` (name -> interpreter) are used as they are and are not checked in advance. Returns name ->
    environment, and name -> reason for the runtimes that have none.
    """
    refused = {
        runtime.name: refusal(runtime, runtime.device_for(device))
        for runtime in runtimes
        if runtime.name not in interpreters
    }
    failures = {name: reason for name, reason in refused.items() if reason}
    environments: dict[str, Environment] = {}
    for runtime_device in dict.fromkeys(("cpu", device)):
        group = [
            runtime
            for runtime in runtimes
            if runtime.device_for(device) == runtime_device and runtime.name not in failures
        ]
        new_environments, new_failures = make_environments(group, runtime_device.partition(":")[0], interpreters)
        environments, failures = environments | new_environments, failures | new_failures
    return environments, failures
