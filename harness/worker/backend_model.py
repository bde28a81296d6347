"""The backend of a job: its module, a model prepared by it, and the check that the model is on its device."""

from __future__ import annotations

import math
import sys
from contextlib import suppress
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from crossframe.backends.contract import BackendModule, Model
from crossframe.harness.worker.jobs import BackendJob
from crossframe.tasks.spec import Arrays, Task

NARROWEST_BYTES = 2  # of a parameter, in the narrowest precision


def import_backend(job: BackendJob[Any]) -> BackendModule:
    """Import the backend of a job."""
    backend: BackendModule = import_module(job.module)
    return backend


def prepare_model(job: BackendJob[Any], task: Task, weights: Arrays) -> Model:
    """Return a model of `task` with the given weights, by the backend and on the device of the job."""
    model: Any = CheckedModel(import_backend(job).prepare(task, weights, job.device, job.mode, job.precision))
    return model  # type: ignore[no-any-return]


class CheckedModel:
    """A model of a backend whose predictions and weights must be NumPy arrays when the call returns.

    An array of another type may be computed only when it is read, after the clock has stopped.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.put, self.train, self.sync = model.put, model.train, model.sync  # the timed calls cost nothing more

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return the outputs for x. TypeError unless they are an array."""
        return require_array(self.model.predict(x), "predict")

    def weights(self) -> Arrays:
        """Return the weights. TypeError unless they are arrays."""
        return {name: require_array(value, f"weights, {name}") for name, value in self.model.weights().items()}

    def buffers(self) -> Arrays:
        """Return the buffers. TypeError unless they are arrays."""
        return {name: require_array(value, f"buffers, {name}") for name, value in self.model.buffers().items()}


def require_array(value: np.ndarray, name: str) -> np.ndarray:
    """Return a value that is exactly a NumPy array. TypeError if it is not."""
    if type(value) is not np.ndarray:
        raise TypeError(f"{name}: a NumPy array is required, not {type(value).__module__}.{type(value).__qualname__}")
    return value


def copy_arrays(model: Model) -> Arrays:
    """Return a copy of the parameters and buffers of a model."""
    return model.weights() | model.buffers()


def verify_placement(model: Model, task: Task, device: str) -> str:
    """Return the device of the parameters and of the last results. RuntimeError if it is not `device`.

    On a GPU, the peak of the allocator must also cover at least the parameters. Where the backend does not report that
    peak, the memory that the driver reports is checked instead, in `crossframe.harness.analysis.gpu`.
    """
    placement = model.placement()
    if placement != device:
        raise RuntimeError(f"requested {device}, but the parameters and results are on {placement}")
    peak = None if device == "cpu" else model.device_peak_bytes()
    needed = NARROWEST_BYTES * sum(math.prod(shape) for shape in task.parameters().values())
    if peak is not None and peak < needed:
        raise RuntimeError(
            f"requested {device}, but the peak of its allocator is {peak} bytes; the parameters need at least {needed}"
        )
    return placement


def package_versions(packages: list[str]) -> dict[str, str]:
    """Return the version of Python and of each installed package; others are omitted, since names vary by build."""
    versions = {"python": ".".join(map(str, sys.version_info[:3]))}
    for package in packages:
        with suppress(PackageNotFoundError):
            versions[package] = version(package)
    return versions
