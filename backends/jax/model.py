"""JAX by the contract: an update is a pure function of weights, optimizer state and batch.

XLA compiles one (`jit`), or all updates of a call as one program (`scan`), or each operation by itself (`eager`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from jax import lax
from jax import numpy as jnp

from crossframe.backends.contract import Batch, Operator, Unsupported, Work, place_of_all
from crossframe.backends.jax.network import EXPORTED, LOSSES, Parameters, forward
from crossframe.backends.jax.optimizers import build
from crossframe.backends.jax.precision import Precision, scaling, settle
from crossframe.tasks.spec import Arrays, Conv2D, Task

MODES = ("jit", "scan", "eager")

Trained = tuple[Parameters, optax.OptState]


def prepare(task: Task, weights: Arrays, device: str, mode: str, precision: str) -> Model:
    """The model on `device`, ready to train."""
    if mode == "scan" and device == "cpu" and any(isinstance(layer, Conv2D) for layer in task.layers):
        # XLA brings convolutions into the form that its fast CPU kernels take only outside of loops.
        raise Unsupported("XLA's CPU compiler makes a convolution within a scan 100 times slower: use mode jit")
    # Without this flag JAX makes float32 of every float64; that would round 1 - beta ** k in optax's Adam, 6e-5 of the
    # first steps, also where the weights are float32.
    jax.config.update("jax_enable_x64", True)
    settled = settle(device, precision)
    return Model(task, weights, find(device), mode, settled)


def find(device: str) -> jax.Device:
    """`cpu`, `cuda:1` -> JAX's device, made the default."""
    platform, _, number = device.partition(":")
    if platform == "cpu":
        jax.config.update("jax_platforms", "cpu")  # or an installed CUDA plugin would start as well
    try:
        found = jax.devices(platform)[int(number or 0)]
    except (RuntimeError, IndexError) as error:
        raise Unsupported(f"this build of jax, {jax.__version__}, sees no {device}: {error}") from error
    jax.config.update("jax_default_device", found)
    return found


def exporter() -> Callable[..., Any]:
    """`jax2onnx.to_onnx`, with what it knows of JAX itself, and of the one function of flax that `EXPORTED` uses.

    Left alone it would load what it knows of three more libraries, and its own examples: 74 programs are compiled for
    that, which is four fifths of what an export takes.
    """
    from jax2onnx import to_onnx  # here, since it takes longer to import than JAX
    from jax2onnx.plugins import plugin_system
    from jax2onnx.plugins.flax.linen import max_pool  # noqa: F401  # registers itself

    if not plugin_system._already_imported_plugins:
        folder = Path(plugin_system.__file__).parent / "jax"
        plugin_system._import_tree(folder, "jax2onnx.plugins.jax")
        plugin_system._already_imported_plugins = True
    return to_onnx


@dataclass(frozen=True)
class Programs:
    """What XLA compiles for a task."""

    step: Callable[[Trained, Batch], Trained]
    steps: Callable[[Trained, tuple[Batch, ...]], Trained]
    infer: Callable[[Parameters, jax.Array], jax.Array]


def optimizer_of(task: Task, precision: Precision) -> optax.GradientTransformation:
    return scaling(build(task)) if precision.scaled else build(task)


@cache  # so that a second model of the same task finds its programs compiled
def programs(task: Task, precision: Precision) -> Programs:
    optimizer = optimizer_of(task, precision)

    def apply(parameters: Parameters, x: jax.Array) -> jax.Array:
        if precision.computed is None:
            return forward(task, parameters, x)
        parameters, x = jax.tree.map(lambda array: array.astype(precision.computed), (parameters, x))
        return forward(task, parameters, x).astype(precision.stored)

    def evaluate(parameters: Parameters, scale: jax.Array | None, x: jax.Array, y: jax.Array) -> jax.Array:
        loss = LOSSES[task.loss](apply(parameters, x), y)
        return loss if scale is None else scale * loss

    def update(trained: Trained, batch: Batch) -> Trained:
        parameters, state = trained
        gradients = jax.grad(evaluate)(parameters, state.scale if precision.scaled else None, *batch)
        changes, state = optimizer.update(gradients, state, parameters)
        return optax.apply_updates(parameters, changes), state

    def updates(trained: Trained, batches: tuple[Batch, ...]) -> Trained:
        """One update for each of `batches`, which are of one shape."""
        stacked = jax.tree.map(lambda *parts: jnp.stack(parts), *batches)
        return lax.scan(lambda trained, batch: (update(trained, batch), None), trained, stacked)[0]

    # Donated: the new parameters and optimizer state take the memory of the old.
    return Programs(jax.jit(update, donate_argnums=0), jax.jit(updates, donate_argnums=0), jax.jit(apply))


class Model:
    def __init__(self, task: Task, weights: Arrays, device: jax.Device, mode: str, precision: Precision):
        self.task = task
        self.device = device
        self.answer: jax.Array | None = None  # what `predict` returned last
        self.mode = mode
        self.dtype = dtype = np.dtype(precision.stored)
        self.computed = precision.computed or precision.stored
        self.parameters = {name: self.place(weights[name], dtype) for name in task.parameters()}
        self.state = jax.jit(optimizer_of(task, precision).init)(self.parameters)
        self.programs = programs(task, precision)

    def place(self, array: np.ndarray, dtype: Any) -> jax.Array:
        return jax.device_put(np.asarray(array, dtype), self.device)

    def put(self, x: np.ndarray, y: np.ndarray) -> Batch:
        return self.place(x, self.dtype), self.place(y, np.int32 if y.ndim == 1 else self.dtype)

    def train(self, batches: Sequence[Batch]) -> None:
        trained = self.parameters, self.state
        if self.mode == "scan":
            for _, alike in groupby(batches, lambda batch: batch[0].shape):
                trained = self.programs.steps(trained, tuple(alike))
        else:
            with jax.disable_jit(self.mode == "eager"):
                for batch in batches:
                    trained = self.programs.step(trained, batch)
        self.parameters, self.state = trained

    def predict(self, x: np.ndarray) -> np.ndarray:
        with jax.disable_jit(self.mode == "eager"):
            outputs = self.programs.infer(self.parameters, self.place(x, self.dtype))
        self.answer = outputs
        return np.array(outputs)

    def weights(self) -> Arrays:
        # np.array copies; np.asarray may give a view of memory that the next update is to write into. Of a copy, since
        # an array of a GPU keeps what was read of it, and the next reading would cost nothing.
        return {name: np.array(value.copy()) for name, value in self.parameters.items()}

    def sync(self) -> None:
        jax.block_until_ready((self.parameters, self.state))

    def save(self, path: Path) -> None:
        # JAX has no format of its own; its documentation names Orbax. Imported here, since training has no need of it.
        from orbax.checkpoint import StandardCheckpointer

        with StandardCheckpointer() as writer:  # it writes in the background; leaving `with` waits for it
            writer.save(path.absolute(), (self.parameters, self.state), force=True)

    def load(self, path: Path) -> None:
        from orbax.checkpoint import StandardCheckpointer

        with StandardCheckpointer() as reader:
            self.parameters, self.state = reader.restore(path.absolute(), (self.parameters, self.state))

    def export_onnx(self, path: Path, opset: int) -> None:
        exporter()(
            lambda x: forward(self.task, self.parameters, x, EXPORTED),
            [("batch", *self.task.input_shape)],
            model_name=self.task.name,
            opset=opset,
            enable_double_precision=self.dtype == np.float64,
            return_mode="file",
            output_path=path,
            input_names=["x"],
            output_names=["y"],
            export_mode="web",  # one file, weights inside
        )

    def placement(self) -> str:
        arrays = [*self.parameters.values(), *([] if self.answer is None else [self.answer])]
        devices = {device for array in arrays for device in array.devices()}
        return place_of_all("cpu" if device.platform == "cpu" else f"cuda:{device.id}" for device in devices)

    def device_peak_bytes(self) -> int | None:
        return (self.device.memory_stats() or {}).get("peak_bytes_in_use")

    def device_reserved_bytes(self) -> int | None:
        return (self.device.memory_stats() or {}).get("peak_pool_bytes")

    def settings(self) -> dict[str, Any]:
        words = {"highest": "float32", "tensorfloat32": "tf32"}
        return {
            "threads": None,  # as many as the process may use processors: it has no setting
            "float32_products": words.get(jax.config.jax_default_matmul_precision),
            "x64": jax.config.jax_enable_x64,
        }

    def profile(self, batches: Sequence[Batch]) -> list[Operator]:
        from crossframe.backends.jax.profiler import operators

        return operators(self, batches)

    def ceiling(self, side: int, size: int) -> tuple[Work, Work]:
        from crossframe.backends.jax.ceiling import works

        return works(self, side, size)
