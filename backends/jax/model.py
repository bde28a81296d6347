"""The model of the contract in JAX: an update is a pure function of weights, optimizer state and batch.

XLA compiles one update (`jit`), all updates of a call as one program (`scan`), or each operation by itself (`eager`).
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

from crossframe.backends import contract
from crossframe.backends.contract import Batch, FrameworkSettings, Unsupported, check_device, joint_device
from crossframe.backends.jax.network import LOSSES, Parameters, build, build_training
from crossframe.backends.jax.onnx_export import export_onnx
from crossframe.backends.jax.optimizers import make_optimizer
from crossframe.backends.jax.precision import Arithmetic, add_loss_scaler, configure, mix_precision
from crossframe.tasks.spec import Arrays, Conv2D, Task

MODES: tuple[str, ...] = ("jit", "scan", "eager")

TrainingState = tuple[Parameters, Parameters, optax.OptState]  # parameters, buffers, state of the optimizer


def prepare(task: Task, weights: Arrays, device: str, mode: str, precision: str) -> Model:
    """Return the model on `device`, ready to train."""
    if mode == "scan" and device == "cpu" and task.has(Conv2D):
        # Only outside of loops does XLA transform convolutions into the form of its fast CPU kernels.
        raise Unsupported("XLA's CPU compiler makes a convolution within a scan 100 times slower: use mode jit")
    # Without this flag JAX converts every float64 to float32. Beside float32 weights too, that would round
    # 1 - beta ** k in optax's Adam, 6e-5 of the first steps.
    jax.config.update("jax_enable_x64", True)
    arithmetic = configure(task, device, precision)
    return Model(task, weights, select_device(device), mode, arithmetic)


def select_device(name: str) -> jax.Device:
    """Return JAX's device for `cpu` or `cuda:1` and make it the default."""
    check_device(name, f"jax {jax.__version__}", count_gpus)
    platform, _, number = name.partition(":")
    if platform == "cpu":
        jax.config.update("jax_platforms", "cpu")  # otherwise an installed CUDA plugin starts as well
    device = jax.devices(platform)[int(number or 0)]
    jax.config.update("jax_default_device", device)
    return device


def count_gpus() -> int:
    """Return the number of GPUs that JAX can use; Unsupported, with JAX's reason, if it cannot use any."""
    try:
        return len(jax.devices("cuda"))
    except RuntimeError as error:
        raise Unsupported(f"jax {jax.__version__} can use no CUDA device here: {error}") from error


@dataclass(frozen=True)
class Programs:
    """The functions of a task that XLA compiles."""

    init: Callable[[Parameters], optax.OptState]
    step: Callable[[TrainingState, Batch], TrainingState]
    steps: Callable[[TrainingState, tuple[Batch, ...]], TrainingState]
    infer: Callable[[Parameters, Parameters, jax.Array], jax.Array]


@cache  # so that a second model of the same task reuses the compiled programs
def make_programs(task: Task, arithmetic: Arithmetic) -> Programs:
    """Return the functions of a task, which XLA compiles on their first call."""
    optimizer = add_loss_scaler(make_optimizer(task), arithmetic)
    forward = mix_precision(build_training(task), arithmetic)

    def evaluate(
        parameters: Parameters, buffers: Parameters, scale: jax.Array | None, batch: Batch
    ) -> tuple[jax.Array, Parameters]:
        x, y = batch
        outputs, buffers = forward(parameters, buffers, x)
        loss = LOSSES[task.loss](outputs, y)
        return loss if scale is None else scale * loss, buffers

    def update(training_state: TrainingState, batch: Batch) -> TrainingState:
        parameters, buffers, state = training_state
        scale = state.scale if arithmetic.needs_loss_scaler else None
        gradients, buffers = jax.grad(evaluate, has_aux=True)(parameters, buffers, scale, batch)
        changes, state = optimizer.update(gradients, state, parameters)
        return optax.apply_updates(parameters, changes), buffers, state

    def updates(training_state: TrainingState, batches: tuple[Batch, ...]) -> TrainingState:
        """Do one update for each of `batches`, which have the same shape."""
        stacked = jax.tree.map(lambda *parts: jnp.stack(parts), *batches)
        return lax.scan(lambda training_state, batch: (update(training_state, batch), None), training_state, stacked)[0]

    # Donated: the new parameters and optimizer state reuse the memory of the old ones.
    return Programs(
        init=jax.jit(optimizer.init),
        step=jax.jit(update, donate_argnums=0),
        steps=jax.jit(updates, donate_argnums=0),
        infer=jax.jit(mix_precision(build(task), arithmetic)),
    )


class Model:
    """`contract.Model` in JAX."""

    def __init__(self, task: Task, weights: Arrays, device: jax.Device, mode: str, arithmetic: Arithmetic) -> None:
        self.task = task
        self.device = device
        self.outputs: jax.Array | None = None  # the last result of `predict`
        self.mode = mode
        self.arithmetic = arithmetic
        self.dtype = dtype = np.dtype(arithmetic.storage_dtype)
        self.compute_dtype = arithmetic.compute_dtype or arithmetic.storage_dtype
        self.parameters = {name: self.to_device(weights[name], dtype) for name in task.parameters()}
        self.statistics = {name: self.to_device(weights[name], dtype) for name in task.buffers()}
        self.programs = make_programs(task, arithmetic)
        self.state = self.programs.init(self.parameters)

    def to_device(self, array: np.ndarray, dtype: Any) -> jax.Array:
        return jax.device_put(np.asarray(array, dtype), self.device)

    def put(self, x: np.ndarray, y: np.ndarray) -> Batch:
        return self.to_device(x, self.dtype), self.to_device(y, np.int32 if y.ndim == 1 else self.dtype)

    def train(self, batches: Sequence[Batch]) -> None:
        training_state = self.parameters, self.statistics, self.state
        if self.mode == "scan":
            for _, group in groupby(batches, lambda batch: batch[0].shape):
                training_state = self.programs.steps(training_state, tuple(group))
        else:
            with jax.disable_jit(self.mode == "eager"):
                for batch in batches:
                    training_state = self.programs.step(training_state, batch)
        self.parameters, self.statistics, self.state = training_state

    def predict(self, x: np.ndarray) -> np.ndarray:
        with jax.disable_jit(self.mode == "eager"):
            outputs = self.programs.infer(self.parameters, self.statistics, self.to_device(x, self.dtype))
        self.outputs = outputs
        return np.array(outputs)

    def weights(self) -> Arrays:
        # np.array copies; np.asarray may return a view of memory that the next update writes to. `copy` makes an array
        # without a cache: an array on a GPU keeps its values on the host, and a second read of it would take no time.
        return {name: np.array(value.copy()) for name, value in self.parameters.items()}

    def buffers(self) -> Arrays:
        return {name: np.array(value.copy()) for name, value in self.statistics.items()}

    def sync(self) -> None:
        jax.block_until_ready((self.parameters, self.statistics, self.state))

    def save(self, path: Path) -> None:
        # JAX has no format of its own; its documentation names Orbax. Imported late: training does not need it.
        from orbax.checkpoint import StandardCheckpointer

        with StandardCheckpointer() as writer:  # writes in the background; the end of `with` waits for it
            writer.save(path.absolute(), (self.parameters, self.statistics, self.state), force=True)

    def load(self, path: Path) -> None:
        from orbax.checkpoint import StandardCheckpointer

        with StandardCheckpointer() as reader:
            training_state = reader.restore(path.absolute(), (self.parameters, self.statistics, self.state))
        self.parameters, self.statistics, self.state = training_state

    def export_onnx(self, path: Path, opset: int) -> None:
        export_onnx(self.task, self.parameters, self.statistics, self.arithmetic, path, opset)

    def placement(self) -> str:
        arrays = [*self.parameters.values(), *self.statistics.values()]
        arrays += [] if self.outputs is None else [self.outputs]
        devices = {device for array in arrays for device in array.devices()}
        return joint_device("cpu" if device.platform == "cpu" else f"cuda:{device.id}" for device in devices)

    def device_peak_bytes(self) -> int | None:
        return (self.device.memory_stats() or {}).get("peak_bytes_in_use")

    def device_reserved_bytes(self) -> int | None:
        return (self.device.memory_stats() or {}).get("peak_pool_bytes")

    def settings(self) -> FrameworkSettings:
        formats = {"highest": "float32", "tensorfloat32": "tf32"}
        return FrameworkSettings(
            threads=None,  # one for each processor that the process may use; JAX has no setting
            float32_products=formats.get(jax.config.jax_default_matmul_precision),
            details={"x64": jax.config.jax_enable_x64},
        )


_: type[contract.Model] = Model
