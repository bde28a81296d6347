"""The contract of a backend.

A backend is a module with

* `MODES`: its ways of executing, the default first;
* `DIALECT`: where its own idiom computes something else than `crossframe.tasks.spec` says (see `DIALECTS`), else `{}`;
* `prepare(task, weights, device, mode, precision) -> Model`.

The precisions: `float32`, its products in full; `tf32`, with products of TF32 operands, on an NVIDIA GPU alone;
`float64`; `bfloat16` and `float16`, in which the network computes, by the framework's own mixed precision, while
weights, optimizer state, loss and what `predict` returns stay float32, and so does the network that is exported. In
float16 the loss is scaled, from `LOSS_SCALE` on; an update whose gradients overflow is left out and halves the scale.

What a backend cannot do, it says by `raise Unsupported("why")`. The backend does; the harness judges.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

import numpy as np

Batch = Any  # one batch on the device, in the framework's own types: (x, y)
Operator = tuple[str, int, float]  # the framework's own name of it, calls, seconds
Work = Callable[[int], None]  # something done as often as it is told, and to the end: then the device is done

# Word -> (what the spec says, what else a framework may declare).
DIALECTS: dict[str, tuple[str | float, ...]] = {
    # Adam adds epsilon to the root of the second moment after or before its bias is corrected. "before" is the
    # "epsilon hat" of Kingma and Ba 2015, section 2.
    "adam_epsilon": ("after_correction", "before_correction"),
    "adagrad_epsilon": ("outside_root", "inside_root"),
    "rmsprop_epsilon": ("outside_root", "inside_root"),
    # w - rate v with v = momentum v + g, or w - v with v = momentum v + rate g: equal while the rate is constant.
    "momentum_rate": ("outside_velocity", "inside_velocity"),
    # Rates, decays, betas and epsilon as they were given, or each rounded to float32 beside weights of any precision.
    "sgd_settings": ("exact", "float32"),
    "adam_settings": ("exact", "float32"),
    "rmsprop_settings": ("exact", "float32"),
    # Adam's corrections 1 - beta ** k in full, or in float32 beside float32 weights, which costs the first steps 6e-5.
    "adam_correction": ("exact", "float32"),
    # A small number that is added to the norm before clip_norm is divided by it.
    "clip_epsilon": (0.0, 1e-6, 1e-8),
}

# Loss scaling for float16: doubled after so many updates without an overflow, halved by one. The frameworks would start
# at 2 ** 15 or more, where a gradient of 2 overflows and the first updates are lost, in each framework others. Here
# one may be 64 large, and what is smaller than 6e-8 / 1024 is lost: on the tasks no update is.
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
    """What a framework reports about its own settings, read back; None where it does not tell."""

    threads: int | None
    float32_products: str | None  # the format in which float32 matrices are multiplied
    details: dict[str, str | int | float | bool | None] = field(default_factory=dict)  # further settings, by name


class Unsupported(Exception):
    """The backend cannot do what was asked; the message says why."""


def repeated(do: Callable[[], Any], sync: Callable[[], None]) -> Work:
    """`do` as often as it is told, and then `sync`."""

    def work(times: int) -> None:
        for _ in range(times):
            do()
        sync()

    return work


def place_of_all(places: Iterable[str]) -> str:
    """The one place of all; where they differ, every one, `cpu and cuda:0`, which is no device's name."""
    return " and ".join(sorted(set(places)))


class Model(Protocol):
    """One network, being trained, on one device. Arrays cross this border in the layouts of `crossframe.tasks.spec`.

    A backend may lack `profile`, `ceiling` and `device_reserved_bytes`: then these are not told of it.
    """

    def put(self, x: np.ndarray, y: np.ndarray) -> Batch:
        """One batch on the device: x (batch, *input_shape) float32; y (batch,) int64 labels or (batch, *output)."""

    def train(self, batches: Sequence[Batch]) -> None:
        """One update for each batch, in order; may return before the device is done."""

    def predict(self, x: np.ndarray) -> np.ndarray:
        """x (batch, *input_shape) -> (batch, *output_shape), logits where the loss takes them."""

    def weights(self) -> dict[str, np.ndarray]:
        """Every parameter of `task.parameters()`, copied to the host."""

    def sync(self) -> None:
        """Return once the device has finished all that was asked."""

    def save(self, path: Path) -> None:
        """Weights and optimizer state into the folder `path`, in the framework's own checkpoint format."""

    def load(self, path: Path) -> None:
        """What `save` wrote, exactly."""

    def export_onnx(self, path: Path, opset: int) -> None:
        """The network as one ONNX file, batch axis free, by the framework's own exporter; in the precision of the
        weights, so that mixed precision leaves a float32 file.

        A backend that names several `onnx_routes` in its backend.toml takes one of them as a third argument.
        """

    def placement(self) -> str:
        """Where every parameter really is, and what `predict` returned last, before it was NumPy's.

        Read back from each, never from what was asked: `cpu`, `cuda:0`; several by `place_of_all`.
        """

    def device_peak_bytes(self) -> int | None:
        """The peak of the device's allocator; None where it cannot tell."""

    def device_reserved_bytes(self) -> int | None:
        """The most that its allocator has taken of the device, given out or not, so far; None where it cannot tell."""

    def settings(self) -> dict[str, Any]:
        """What bears on a fair comparison, read back: `threads`, those that the framework says it uses, and
        `float32_products`, the format of what it multiplies in float32; None where it does not tell. More, if it has.
        """

    def profile(self, batches: Sequence[Batch]) -> list[Operator]:
        """Where the time of one `train(batches)`, to its end, goes, by the framework's own profiler.

        Seconds are an operator's own, without those of operators within it; on a GPU, the GPU's. What threads did at
        the same time adds up, so their sum may exceed what the clock shows; Python and the framework's own scheduling
        are no operators, so it may fall short. Asked last, since it may leave the model slower than it was.
        """

    def ceiling(self, side: int, size: int) -> tuple[Work, Work]:
        """What shows the limits of the device: a product and a copy, by the operations that the framework has for them.

        The product is of two dense matrices of `side` rows and columns, in the type that the network computes in; the
        copy of `size` bytes, a multiple of 4, to another place on the device.
        """
