"""The model of the contract in MXNet: Gluon, with network and loss hybridized into one graph, or run by operators."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from operator import attrgetter
from pathlib import Path

import mxnet as mx
import numpy as np

from crossframe.backends import contract
from crossframe.backends.contract import Batch, FrameworkSettings, Unsupported, check_device, joint_device
from crossframe.backends.mxnet.network import LOSSES, MeanLoss, array_map, build
from crossframe.backends.mxnet.onnx_export import export_onnx
from crossframe.backends.mxnet.optimizers import clip, find_separate_decay, list_arrays, make_optimizer, make_state
from crossframe.backends.mxnet.precision import Arithmetic, configure, make_loss_scaler, mix_precision, unscale
from crossframe.tasks import spec
from crossframe.tasks.spec import Arrays, Task

MODES: tuple[str, ...] = ("hybrid", "imperative")


def prepare(task: Task, weights: Arrays, device: str, mode: str, precision: str) -> Model:
    """Return the model on `device`, ready to train."""
    if isinstance(task.schedule, spec.StepSchedule) and task.schedule.gamma > 1:
        raise Unsupported("MXNet's FactorScheduler cannot increase the rate")
    check_device(device, f"MXNet {mx.__version__}", mx.context.num_gpus)
    kind, _, number = device.partition(":")
    context = mx.gpu(int(number or 0)) if kind == "cuda" else mx.cpu()
    return Model(task, weights, context, mode, configure(task, device, precision))


def share_memory(array: np.ndarray) -> mx.nd.NDArray:
    """Return an array of MXNet on the same memory.

    mx.nd.array and asnumpy copy in the calling thread, large arrays by OpenMP. That thread then has its own OpenMP team
    beside the engine's: libgomp counts more threads than processors, no longer lets any of them spin, and training is
    half as fast for the rest of the process (autoencoder, two processors). The engine does copies between arrays.
    """
    return mx.nd.from_numpy(array, zero_copy=True)


def to_device(array: np.ndarray, device: mx.Context, dtype: str) -> mx.nd.NDArray:
    """Return a copy on `device`, made by the engine; see `share_memory`."""
    # Share a view, since MXNet makes the shared array read-only. Wait for the copy, as the caller may reuse `array`.
    copy = share_memory(np.ascontiguousarray(array, dtype).view()).copyto(device)
    copy.wait_to_read()
    return copy


def to_host(array: mx.nd.NDArray) -> np.ndarray:
    """Return a copy on the host, made by the engine; see `share_memory`."""
    copy = np.empty(array.shape, array.dtype)
    array.copyto(share_memory(copy)).wait_to_read()
    return copy


class Model:
    """`contract.Model` in MXNet."""

    def __init__(self, task: Task, weights: Arrays, device: mx.Context, mode: str, arithmetic: Arithmetic) -> None:
        self.task = task
        self.device = device
        self.outputs: mx.nd.NDArray | None = None  # the last result of `predict`
        self.arithmetic = arithmetic
        self.dtype = dtype = arithmetic.storage_dtype
        self.compute_dtype = arithmetic.compute_dtype or dtype
        self.network = build(task)
        self.network.cast(dtype)
        self.network.initialize(mx.init.Zero(), device)
        for name, (path, convert) in array_map(task).items():
            values = np.array(convert(weights[name]), dtype, order="C")
            attrgetter(path)(self.network).set_data(share_memory(values))
        self.infer = mix_precision(self.network, arithmetic)
        self.forward = MeanLoss(self.infer, LOSSES[task.loss]())
        if mode == "hybrid":
            self.forward.hybridize(static_alloc=True, static_shape=True)
        self.trainable_parameters = [p for p in self.network.collect_params().values() if p.grad_req != "null"]
        self.loss_scaler = make_loss_scaler(arithmetic)
        self.weight_arrays = [parameter.data() for parameter in self.trainable_parameters]
        self.gradients = [parameter.grad() for parameter in self.trainable_parameters]
        self.optimizer = make_optimizer(task, updates=0)
        self.states = [make_state(self.optimizer, *indexed) for indexed in enumerate(self.weight_arrays)]
        self.decay = find_separate_decay(task.optimizer)

    def put(self, x: np.ndarray, y: np.ndarray) -> Batch:
        # Labels become floats too, as Gluon's losses need them.
        return tuple(to_device(part, self.device, self.dtype) for part in (x, y))

    def train(self, batches: Sequence[Batch]) -> None:
        for x, y in batches:
            with mx.autograd.record():
                loss = self.forward(x, y)
            if self.loss_scaler is None:
                loss.backward()
            else:
                loss.backward(mx.nd.full((1,), self.loss_scaler.loss_scale, self.device))
                if not unscale(self.loss_scaler, self.trainable_parameters):
                    continue
            if self.task.clip_norm is not None:
                clip(self.gradients, self.task.clip_norm)
            if self.decay:
                for weight, gradient in zip(self.weight_arrays, self.gradients):
                    gradient += self.decay * weight
            # The same as gluon.Trainer, without its search for stale gradients.
            for index, parts in enumerate(zip(self.weight_arrays, self.gradients, self.states)):
                self.optimizer.update(index, *parts)

    def wait_for_statistics(self) -> None:
        """Wait until the running statistics are up to date.

        A hybridized graph with static memory updates them without the knowledge of the engine, so a reader does not
        wait for the update (tests/findings/mxnet_running_statistics.py).
        """
        if self.task.buffers():
            mx.nd.waitall()

    def predict(self, x: np.ndarray) -> np.ndarray:
        self.wait_for_statistics()
        outputs = self.infer(to_device(x, self.device, self.dtype))
        self.outputs = outputs
        return to_host(outputs)

    def weights(self) -> Arrays:
        return self.copy_arrays(self.task.parameters())

    def buffers(self) -> Arrays:
        self.wait_for_statistics()
        return self.copy_arrays(self.task.buffers())

    def copy_arrays(self, names: Collection[str]) -> Arrays:
        """Return a copy of parameters or buffers on the host, by name."""
        return {
            name: convert(to_host(attrgetter(path)(self.network).data())).copy()
            for name, (path, convert) in array_map(self.task).items()
            if name in names
        }

    def sync(self) -> None:
        mx.nd.waitall()

    def save(self, path: Path) -> None:
        self.wait_for_statistics()
        path.mkdir(parents=True, exist_ok=True)
        self.network.save_parameters(str(path / "network.params"))
        # Trainer.save_states is not used, because it pickles.
        state = {f"{index}/{slot}": array for index, slot, array in self.list_slots()}
        updates = mx.nd.array([self.optimizer.num_update], dtype="int64")
        if self.loss_scaler is not None:
            state["scale"] = mx.nd.array([self.loss_scaler.loss_scale])
        mx.nd.save(str(path / "optimizer.params"), {"updates": updates, **state})

    def load(self, path: Path) -> None:
        self.network.load_parameters(str(path / "network.params"), self.device)
        state = mx.nd.load(str(path / "optimizer.params"))
        self.optimizer = make_optimizer(self.task, int(state["updates"].asscalar()))
        for index, slot, array in self.list_slots():
            array[:] = state[f"{index}/{slot}"].as_in_context(self.device)
        if self.loss_scaler is not None:
            self.loss_scaler = make_loss_scaler(self.arithmetic, float(state["scale"].asscalar()))

    def list_slots(self) -> list[tuple[int, int, mx.nd.NDArray]]:
        """Return (number of the parameter, number of its state array, the array) for all state arrays."""
        return [(index, *slot) for index, state in enumerate(self.states) for slot in enumerate(list_arrays(state))]

    def export_onnx(self, path: Path, opset: int) -> None:
        export_onnx(self.task, self.network, self.arithmetic, path, opset)

    def placement(self) -> str:
        parameters = self.network.collect_params().values()
        arrays = [*(parameter.data() for parameter in parameters), *([] if self.outputs is None else [self.outputs])]
        devices = {array.context for array in arrays}
        return joint_device(f"cuda:{d.device_id}" if d.device_type == "gpu" else "cpu" for d in devices)

    def device_peak_bytes(self) -> int | None:
        return None  # gpu_memory_info reports free memory at the moment, not a peak

    def device_reserved_bytes(self) -> int | None:
        return None

    def settings(self) -> FrameworkSettings:
        return FrameworkSettings(
            threads=None,  # those of OpenMP, which MXNet does not report
            float32_products="float32" if os.environ.get("NVIDIA_TF32_OVERRIDE") == "0" else None,
            details={
                "onednn": mx.runtime.Features().is_enabled("MKLDNN"),
                "kept_in_float32": "LSTM" if self.arithmetic.compute_dtype == "bfloat16" else None,  # as amp lists it
            },
        )


_: type[contract.Model] = Model
