"""The contract of a backend.

A backend is a module with the attributes of `BackendModule`: `MODES`, `DIALECT` and `prepare`. The functions `profile`
(the framework's own profiler) and `ceiling` (operations that measure the device) are optional.

Precisions: `float32` multiplies in full float32; `tf32` multiplies TF32 operands, on NVIDIA GPUs only; `float64`;
`bfloat16` and `float16` compute the network in that type, by the framework's own mixed precision, while weights,
optimizer state, loss, the results of `predict` and the exported network stay float32. In float16 the loss is scaled,
starting at `LOSS_SCALE`; an update whose gradients overflow is skipped and halves the scale.

A backend raises `Unsupported("reason")` for anything it cannot do. The harness, not the backend, computes quality,
parity, statistics and the agreement of ONNX files.

The manifest of a backend, `backend.toml`, states the version of this contract: `contract_version`, see
`crossframe.backends.manifest`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from crossframe.tasks.spec import Arrays, Task

Batch = Any  # one batch on the device, in the framework's own types: (x, y)
Dialect = Mapping[str, str | float]  # a key of DIALECTS -> one of its values
RepeatedOperation = Callable[[int], None]  # runs an operation so many times, then waits for the device

# The differences between frameworks: key -> (value of crossframe.tasks.spec, other values that a backend may declare).
DIALECTS: dict[str, tuple[str | float, ...]] = {
    # Adam adds epsilon to the root of the second moment after or before its bias is corrected. "before" is the
    # "epsilon hat" of Kingma and Ba 2015, section 2.
    "adam_epsilon": ("after_correction", "before_correction"),
    "adagrad_epsilon": ("outside_root", "inside_root"),
    "rmsprop_epsilon": ("outside_root", "inside_root"),
    # w - rate v with v = momentum v + g, or w - v with v = momentum v + rate g: equal while the rate is constant.
    "momentum_rate": ("outside_velocity", "inside_velocity"),
    # Rates, decays, betas and epsilon as given, or each rounded to float32 beside weights of any precision.
    "sgd_settings": ("exact", "float32"),
    "adam_settings": ("exact", "float32"),
    "rmsprop_settings": ("exact", "float32"),
    # Adam's corrections 1 - beta ** k in full, or in float32 beside float32 weights, which costs the first steps 6e-5.
    "adam_correction": ("exact", "float32"),
    # Batch normalization's running variance: the mean of the squared deviations in a batch, or their sum divided by
    # one less than their number.
    "running_variance": ("biased", "unbiased"),
    # The momentum of running statistics as given, or rounded to float32 beside statistics of any precision.
    "running_momentum": ("exact", "float32"),
    # The slope of a leaky ReLU as given, or rounded to float32 beside inputs of any precision.
    "leaky_relu_slope": ("exact", "float32"),
    # A small number that is added to the norm before clip_norm is divided by it.
    "clip_epsilon": (0.0, 1e-6, 1e-8),
}

# Loss scaling for float16: doubled after SCALE_GROWS_AFTER updates without an overflow, halved by each overflow. The
# frameworks' own defaults start at 2 ** 15 or more, where a gradient of 2 overflows and the first updates are skipped,
# different ones in each framework. At 2 ** 10 gradients up to 64 fit, and values below 6e-8 / 1024 are lost; no update
# of the tasks overflows.
LOSS_SCALE, SCALE_GROWS_AFTER = 2.0**10, 2000


class Precision(StrEnum):
    """The arithmetic of a network; see the docstring of this module."""

    FLOAT32 = "float32"
    FLOAT64 = "float64"
    TF32 = "tf32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


@dataclass(frozen=True)
class FrameworkSettings:
    """The settings that a framework reports about itself; None where it does not report one."""

    threads: int | None
    float32_products: str | None  # the format in which float32 matrices are multiplied
    details: dict[str, str | int | float | bool | None] = field(default_factory=dict)  # further settings, by name


class OperatorCost(NamedTuple):
    """An operator in a profile, without the operators within it."""

    name: str  # the framework's own
    calls: int
    self_s: float


class Unsupported(Exception):  # noqa: N818  # part of the contract that third-party backends implement
    """The backend does not support the request; the message gives the reason."""


class Model(Protocol):
    """One network in training on one device. Arrays have the layouts of `crossframe.tasks.spec`."""

    def put(self, x: np.ndarray, y: np.ndarray) -> Batch:
        """Return one batch on the device.

        x is (batch, *input_shape) float32; y is (batch,) int64 labels or (batch, *output_shape) float32.
        """

    def train(self, batches: Sequence[Batch]) -> None:
        """Do one update for each batch, in order; may return before the device has finished."""

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return outputs: (batch, *input_shape) -> (batch, *output_shape), logits where the loss uses them."""

    def weights(self) -> Arrays:
        """Return a copy of every trained parameter on the host, with the names of `task.parameters()`."""

    def buffers(self) -> Arrays:
        """Return a copy of every buffer on the host, such as running statistics, with the names of `task.buffers()`.

        Optimizer state is not included. `{}` for a network without buffers.
        """

    def sync(self) -> None:
        """Return when the device has finished all work requested so far."""

    def save(self, path: Path) -> None:
        """Write weights, buffers and optimizer state to the folder `path`, in the framework's own checkpoint format."""

    def load(self, path: Path) -> None:
        """Restore weights, buffers and optimizer state exactly as `save` wrote them to `path`."""

    def export_onnx(self, path: Path, opset: int) -> None:
        """Write the network as one ONNX file with a free batch axis, by the framework's own exporter.

        Mixed precision exports the float32 network. A backend that lists several `onnx_routes` in its manifest takes
        one of them as a third argument.
        """

    def placement(self) -> str:
        """Return the device of every parameter and of the last result of `predict`, before its copy to the host.

        Read back from each array: `cpu`, `cuda:0`; use `joint_device` to combine them.
        """

    def device_peak_bytes(self) -> int | None:
        """Return the peak of memory in use by the device's allocator; None if it does not report one."""

    def device_reserved_bytes(self) -> int | None:
        """Return the peak of memory that the allocator reserved on the device, in use or not; None if not reported."""

    def settings(self) -> FrameworkSettings:
        """Return the framework's current settings, read back from the framework."""


class BackendModule(Protocol):
    """A backend, as a worker imports it. The functions `profile` and `ceiling` are optional."""

    MODES: tuple[str, ...]  # its execution modes, the default first; equal to `modes` in the manifest
    DIALECT: Dialect  # differences of the framework's own idiom from the spec; `{}` if there are none

    def prepare(self, task: Task, weights: Arrays, device: str, mode: str, precision: str) -> Model:
        """Return a model with `weights` on `device` (`cpu` or `cuda:N`), ready to train.

        `weights` are the parameters and buffers, with the names of `task.arrays()`.
        """

    def profile(self, model: Any, batches: Sequence[Batch]) -> Sequence[OperatorCost]:
        """Return the time of each operator in one `model.train(batches)`, by the framework's own profiler.

        On a GPU, times are those of the GPU. Times of parallel threads add up, so the sum may exceed the elapsed time;
        Python and the framework's scheduling are not operators, so it may also fall short. This is the last call on a
        model, which may be slower afterwards.
        """

    def ceiling(self, model: Any, side: int, size: int) -> tuple[RepeatedOperation, RepeatedOperation]:
        """Return a matrix product and a copy on the model's device, for measuring the ceilings of the device.

        The product is of two dense matrices of `side` rows and columns, in the type that the network computes in. The
        copy moves `size` bytes, a multiple of 4, to another place in the device's memory.
        """


ProfileFunction = Callable[[Any, Sequence[Batch]], Sequence[OperatorCost]]
CeilingFunction = Callable[[Any, int, int], tuple[RepeatedOperation, RepeatedOperation]]


def get_profile_function(backend: BackendModule) -> ProfileFunction:
    """Return the `profile` of a backend; Unsupported if it has none."""
    return _get_function(backend, "profile")


def get_ceiling_function(backend: BackendModule) -> CeilingFunction:
    """Return the `ceiling` of a backend; Unsupported if it has none."""
    return _get_function(backend, "ceiling")


def _get_function(backend: BackendModule, name: str) -> Callable[..., Any]:
    function: Callable[..., Any] | None = getattr(backend, name, None)
    if function is None:
        raise Unsupported(f"this backend has no function `{name}`")
    return function


def check_device(device: str, framework: str, count_gpus: Callable[[], int]) -> None:
    """Raise Unsupported unless the framework can use `device`.

    `framework` is its name and version; `count_gpus`, called for a GPU only, returns the number of GPUs it can use.
    """
    if device == "cpu":
        return
    kind, _, number = device.partition(":")
    count = count_gpus()
    if kind != "cuda" or int(number or 0) >= count:
        usable = ", ".join(f"cuda:{index}" for index in range(count)) or "no CUDA device"
        raise Unsupported(f"{framework} can use {usable} here, not {device}")


def check_precision(
    precision: str, supported: Collection[str], device: str, reasons: Mapping[tuple[str, str], str] | None = None
) -> None:
    """Raise Unsupported unless the backend trains in `precision` on `device`.

    `reasons` maps (precision, kind of device) to a reason of the backend's own, for pairs that it does not support.
    """
    kind = device.partition(":")[0]
    if (precision, kind) == ("tf32", "cpu"):
        raise Unsupported("a product in TF32 needs an NVIDIA GPU; on the CPU there is none")
    if reasons and (precision, kind) in reasons:
        raise Unsupported(reasons[precision, kind])
    if precision not in supported:
        raise Unsupported(f"this backend trains in {', '.join(supported)}, not in {precision}")


def joint_device(devices: Iterable[str]) -> str:
    """Return the device of all arrays; if there are several, their names joined as in `cpu and cuda:0`."""
    return " and ".join(sorted(set(devices)))


def repeat_then_sync(operation: Callable[[], Any], sync: Callable[[], None]) -> RepeatedOperation:
    """Return a function that runs `operation` a given number of times, then `sync`."""

    def repeat(times: int) -> None:
        for _ in range(times):
            operation()
        sync()

    return repeat
