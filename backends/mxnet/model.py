"""MXNet by the contract: Gluon with network and loss hybridized into one graph, or one operator after another."""

from __future__ import annotations

import os
from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

import mxnet as mx
import numpy as np
import onnx

from crossframe.backends.contract import Batch, Operator, Unsupported, Work, place_of_all
from crossframe.backends.mxnet.network import LOSSES, Evaluate, addresses, build
from crossframe.backends.mxnet.onnx_repair import OPSET, finished, folded
from crossframe.backends.mxnet.optimizers import arrays, clip, create_optimizer, create_state
from crossframe.backends.mxnet.precision import Precision, mixed, scaler, settle, unscale
from crossframe.tasks import spec
from crossframe.tasks.spec import Arrays, Task

MODES = ("hybrid", "imperative")


def prepare(task: Task, weights: Arrays, device: str, mode: str, precision: str) -> Model:
    """The model on `device`, ready to train."""
    if task.schedule is not None and task.schedule.gamma > 1:
        raise Unsupported("MXNet's FactorScheduler only lets the rate fall")
    kind, _, number = device.partition(":")
    if kind == "cuda" and int(number or 0) >= mx.context.num_gpus():
        raise Unsupported(f"MXNet {mx.__version__} sees {mx.context.num_gpus()} CUDA devices here, and so no {device}")
    context = mx.gpu(int(number or 0)) if kind == "cuda" else mx.cpu()
    return Model(task, weights, context, mode, settle(device, precision))


def shared(array: np.ndarray) -> mx.nd.NDArray:
    """An array of MXNet on the same memory.

    mx.nd.array and asnumpy copy in the calling thread, a large array by OpenMP: that thread then has a team of its own
    beside the engine's, libgomp finds more threads than processors and lets none of them spin any more, and training
    is half as fast for the rest of the process (autoencoder, two processors). Copies between arrays are the engine's.
    """
    return mx.nd.from_numpy(array, zero_copy=True)


def to_host(array: mx.nd.NDArray) -> np.ndarray:
    copied = np.empty(array.shape, array.dtype)
    array.copyto(shared(copied)).wait_to_read()
    return copied


class Model:
    def __init__(self, task: Task, weights: Arrays, device: mx.Context, mode: str, precision: Precision):
        self.task = task
        self.device = device
        self.answer: mx.nd.NDArray | None = None  # what `predict` returned last
        self.precision = precision
        self.dtype = dtype = precision.stored
        self.computed = precision.computed or dtype
        self.network = build(task)
        self.network.cast(dtype)
        self.network.initialize(mx.init.Zero(), device)
        for name, (number, path, convert) in addresses(task).items():
            attrgetter(path)(self.network[number]).set_data(shared(np.array(convert(weights[name]), dtype, order="C")))
        self.infer = mixed(self.network, precision)
        self.forward = Evaluate(self.infer, LOSSES[task.loss]())
        if mode == "hybrid":
            self.forward.hybridize(static_alloc=True, static_shape=True)
        trained = [p for p in self.network.collect_params().values() if p.grad_req != "null"]
        self.trained, self.scaler = trained, scaler(precision)
        self.weight_arrays = [parameter.data() for parameter in trained]
        self.gradients = [parameter.grad() for parameter in trained]
        self.optimizer = create_optimizer(task, updates=0)
        self.states = [create_state(self.optimizer, *indexed) for indexed in enumerate(self.weight_arrays)]
        # MXNet's AdaGrad knows another decay, so this is done before it.
        self.decay = task.optimizer.weight_decay if isinstance(task.optimizer, spec.AdaGrad) else 0.0

    def put(self, x: np.ndarray, y: np.ndarray) -> Batch:
        # Labels too become floats: so Gluon's losses want them.
        return tuple(mx.nd.array(part, self.device, self.dtype) for part in (x, y))

    def train(self, batches: Sequence[Batch]) -> None:
        for x, y in batches:
            with mx.autograd.record():
                loss = self.forward(x, y)
            if self.scaler is None:
                loss.backward()
            else:
                loss.backward(mx.nd.full((1,), self.scaler.loss_scale, self.device))
                if not unscale(self.scaler, self.trained):
                    continue
            if self.task.clip_norm is not None:
                clip(self.gradients, self.task.clip_norm)
            if self.decay:
                for weight, gradient in zip(self.weight_arrays, self.gradients):
                    gradient += self.decay * weight
            # What gluon.Trainer does, without its search for stale gradients.
            for index, parts in enumerate(zip(self.weight_arrays, self.gradients, self.states)):
                self.optimizer.update(index, *parts)

    def predict(self, x: np.ndarray) -> np.ndarray:
        outputs = self.infer(mx.nd.array(x, self.device, self.dtype))
        self.answer = outputs
        return to_host(outputs)

    def weights(self) -> Arrays:
        return {
            name: convert(to_host(attrgetter(path)(self.network[number]).data())).copy()
            for name, (number, path, convert) in addresses(self.task).items()
        }

    def sync(self) -> None:
        mx.nd.waitall()

    def save(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.network.save_parameters(str(path / "network.params"))
        # Not by Trainer.save_states, which pickles.
        state = {f"{index}/{slot}": array for index, slot, array in self.slots()}
        updates = mx.nd.array([self.optimizer.num_update], dtype="int64")
        if self.scaler is not None:
            state["scale"] = mx.nd.array([self.scaler.loss_scale])
        mx.nd.save(str(path / "optimizer.params"), {"updates": updates, **state})

    def load(self, path: Path) -> None:
        self.network.load_parameters(str(path / "network.params"), self.device)
        saved = mx.nd.load(str(path / "optimizer.params"))
        self.optimizer = create_optimizer(self.task, int(saved["updates"].asscalar()))
        for index, slot, array in self.slots():
            array[:] = saved[f"{index}/{slot}"].as_in_context(self.device)
        if self.scaler is not None:
            self.scaler = scaler(self.precision, float(saved["scale"].asscalar()))

    def slots(self) -> list[tuple[int, int, mx.nd.NDArray]]:
        """(number of the parameter, number of its state array, the array)."""
        return [(index, *slot) for index, state in enumerate(self.states) for slot in enumerate(arrays(state))]

    def export_onnx(self, path: Path, opset: int) -> None:
        if opset != OPSET:
            raise Unsupported(f"MXNet's exporter writes opset {OPSET}, not {opset}")
        parameters = {name: p.data() for name, p in self.network.collect_params().items()}
        shape = ("batch", *self.task.input_shape)
        network = self.network(mx.sym.var("x"))
        if self.precision.computed:
            network = mx.sym.load_json(network.tojson(remove_amp_cast=True))  # the float32 network
        mx.onnx.export_model(
            network,
            parameters,
            [(2, *self.task.input_shape)],
            np.dtype(self.dtype),
            str(path),
            dynamic=True,
            dynamic_input_shapes=[shape],
        )
        onnx.save(folded(finished(onnx.load(path), self.task)), path)

    def placement(self) -> str:
        parameters = self.network.collect_params().values()
        arrays = [*(parameter.data() for parameter in parameters), *([] if self.answer is None else [self.answer])]
        devices = {array.context for array in arrays}
        return place_of_all(f"cuda:{one.device_id}" if one.device_type == "gpu" else "cpu" for one in devices)

    def device_peak_bytes(self) -> int | None:
        return None  # gpu_memory_info knows what is free now, not what was used at most

    def settings(self) -> dict[str, Any]:
        features = mx.runtime.Features()
        return {
            "threads": None,  # OpenMP's, of which it does not tell
            "float32_products": "float32" if os.environ.get("NVIDIA_TF32_OVERRIDE") == "0" else None,
            "onednn": features.is_enabled("MKLDNN"),
            "kept_in_float32": ["LSTM"] if self.precision.computed == "bfloat16" else [],  # as amp lists it
        }

    def profile(self, batches: Sequence[Batch]) -> list[Operator]:
        from crossframe.backends.mxnet.profiler import operators

        return operators(self, batches)

    def ceiling(self, side: int, size: int) -> tuple[Work, Work]:
        from crossframe.backends.mxnet.ceiling import works

        return works(self, side, size)
