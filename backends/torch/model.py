"""The model of the contract in PyTorch: an eager loop, or the gradients compiled by TorchInductor.

The compiled function contains forward pass, loss and backward pass.

With `reduce-overhead`, on a GPU, kernels are replayed as a CUDA graph. The next replay overwrites the results, so each
update consumes them before the next one starts. With `max-autotune`, kernels are also chosen by trial.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from crossframe.backends import contract
from crossframe.backends.contract import Batch, FrameworkSettings, Unsupported, check_device, joint_device
from crossframe.backends.torch.network import LOSSES, array_map, build
from crossframe.backends.torch.onnx_export import export_onnx
from crossframe.backends.torch.optimizers import make_optimizer, make_schedule
from crossframe.backends.torch.precision import Arithmetic, configure, make_loss_scaler, mix_precision
from crossframe.tasks.spec import Arrays, BatchNorm, Task

MODES: tuple[str, ...] = ("eager", "compile", "reduce-overhead", "max-autotune")


def prepare(task: Task, weights: Arrays, device: str, mode: str, precision: str) -> Model:
    """Return the model on `device`, ready to train."""
    check_device(device, f"torch {torch.__version__}", torch.cuda.device_count)
    if mode == "reduce-overhead" and device == "cpu":
        raise Unsupported("reduce-overhead replays CUDA graphs; on the CPU it is compile")
    arithmetic = configure(task, device, precision)
    # Inductor may schedule the reader of a max pooling's gradient before the scatter that writes it, and return zeros
    # for all layers below (pytorch#185509, seen in 2.13.0 on the CPU). Deterministic algorithms avoid the scatter.
    torch.use_deterministic_algorithms(torch.device(device).type == "cpu")
    torch.utils.deterministic.fill_uninitialized_memory = False  # a debugging aid that costs a pass over each buffer
    if mode != "eager":
        torch._dynamo.config.trace_autograd_ops = True  # otherwise `torch.autograd.grad` splits the graph
        # Otherwise torch runs eagerly after a few models in one process or a few batch sizes.
        torch._dynamo.config.recompile_limit = torch._dynamo.config.accumulated_recompile_limit = sys.maxsize
    return Model(task, weights, torch.device(device), mode, arithmetic)


def mark_replays(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `function` with each call marked as a replay of a CUDA graph, which may overwrite earlier results."""

    def call(*tensors: Tensor | None) -> Any:
        torch.compiler.cudagraph_mark_step_begin()
        return function(*tensors)

    return call


class Model:
    """`contract.Model` in PyTorch."""

    def __init__(self, task: Task, weights: Arrays, device: torch.device, mode: str, arithmetic: Arithmetic) -> None:
        self.task = task
        self.device = device
        self.outputs: Tensor | None = None  # the last result of `predict`
        self.arithmetic = arithmetic
        self.dtype = dtype = arithmetic.storage_dtype
        self.compute_dtype = arithmetic.compute_dtype or dtype
        # Convolutions run fastest in the layout channels last; other parameters are not affected.
        self.network = build(task).to(device, dtype, memory_format=torch.channels_last)
        state = self.network.state_dict()
        for name, (key, convert) in array_map(task).items():
            state[key].copy_(torch.as_tensor(convert(weights[name]), dtype=dtype))
        self.changes_in_use = task.has(BatchNorm)  # whether a layer computes otherwise in training
        self.trainable_parameters = [p for p in self.network.parameters() if p.requires_grad]
        self.optimizer = make_optimizer(task, self.trainable_parameters)
        self.schedule = make_schedule(task, self.optimizer)
        self.loss = LOSSES[task.loss]
        self.loss_scaler = make_loss_scaler(arithmetic, device)
        self.unit = torch.ones((), device=device)  # the derivative of the loss with respect to itself
        self.forward = mix_precision(self.network.forward, arithmetic, device)
        self.gradients, self.infer = self.differentiate, self.forward
        if mode != "eager":
            # Not dynamic: otherwise torch compiles for any size at the second batch size, and uses that from then on.
            options: dict[str, Any] = {"mode": None if mode == "compile" else mode, "dynamic": False}
            self.gradients = torch.compile(self.gradients, **options)
            self.infer = torch.compile(self.infer, **options)
        if mode in ("reduce-overhead", "max-autotune"):
            self.gradients, self.infer = mark_replays(self.gradients), mark_replays(self.infer)

    def differentiate(self, x: Tensor, y: Tensor, scale: Tensor | None = None) -> tuple[Tensor, ...]:
        return torch.autograd.grad(self.loss(self.forward(x), y), self.trainable_parameters, scale)

    def put(self, x: np.ndarray, y: np.ndarray) -> Batch:
        targets = torch.as_tensor(y, dtype=torch.int64 if y.ndim == 1 else self.dtype)
        return torch.as_tensor(x, dtype=self.dtype).to(self.device), targets.to(self.device)

    def train(self, batches: Sequence[Batch]) -> None:
        if self.changes_in_use:
            self.network.train()
        for x, y in batches:
            if self.loss_scaler is not None:
                self.update_scaled(self.loss_scaler, x, y)
                continue
            for parameter, gradient in zip(self.trainable_parameters, self.gradients(x, y)):
                parameter.grad = gradient
            if self.task.clip_norm is not None:
                nn.utils.clip_grad_norm_(self.trainable_parameters, self.task.clip_norm)
            self.optimizer.step()
            if self.schedule is not None:
                self.schedule.step()

    def update_scaled(self, loss_scaler: torch.amp.GradScaler, x: Tensor, y: Tensor) -> None:
        """Do an update with the loss scaled. A fused optimizer decides on the device whether to skip it."""
        for parameter, gradient in zip(self.trainable_parameters, self.gradients(x, y, loss_scaler.scale(self.unit))):
            parameter.grad = gradient
        if self.task.clip_norm is not None:
            loss_scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.trainable_parameters, self.task.clip_norm)
        scale = loss_scaler.get_scale() if self.schedule else 0.0  # this waits for the device, so only for a schedule
        loss_scaler.step(self.optimizer)
        loss_scaler.update()
        if self.schedule is not None and loss_scaler.get_scale() >= scale:
            self.schedule.step()

    @torch.inference_mode()
    def predict(self, x: np.ndarray) -> np.ndarray:
        if self.changes_in_use:
            self.network.eval()
        outputs = self.infer(torch.as_tensor(x, dtype=self.dtype).to(self.device))
        self.outputs = outputs
        return outputs.cpu().numpy()

    def weights(self) -> Arrays:
        return self.copy_arrays(self.task.parameters())

    def buffers(self) -> Arrays:
        return self.copy_arrays(self.task.buffers())

    def copy_arrays(self, names: Iterable[str]) -> Arrays:
        """Return a copy of parameters or buffers on the host, by name."""
        state, arrays = self.network.state_dict(), array_map(self.task)
        return {name: arrays[name][1](state[arrays[name][0]].cpu().numpy()).copy() for name in names}

    def sync(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def save(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        torch.save({name: part.state_dict() for name, part in self.parts().items()}, path / "model.pt")

    def load(self, path: Path) -> None:
        # weights_only: a checkpoint contains tensors only; unpickling anything else could run code.
        state = torch.load(path / "model.pt", map_location=self.device, weights_only=True)
        for name, part in self.parts().items():
            part.load_state_dict(state[name])

    def parts(self) -> dict[str, Any]:
        """Return the objects whose state a checkpoint holds."""
        parts = {
            "network": self.network,
            "optimizer": self.optimizer,
            "schedule": self.schedule,
            "scaler": self.loss_scaler,
        }
        return {name: part for name, part in parts.items() if part is not None}

    def export_onnx(self, path: Path, opset: int, route: str = "dynamo") -> None:
        export_onnx(self.task, self.network, self.arithmetic, path, opset, route)

    def placement(self) -> str:
        tensors = [*self.network.parameters(), *([] if self.outputs is None else [self.outputs])]
        return joint_device(str(tensor.device) for tensor in tensors)

    def device_peak_bytes(self) -> int | None:
        return torch.cuda.max_memory_allocated(self.device) if self.device.type == "cuda" else None

    def device_reserved_bytes(self) -> int | None:
        return torch.cuda.max_memory_reserved(self.device) if self.device.type == "cuda" else None

    def settings(self) -> FrameworkSettings:
        exact = torch.get_float32_matmul_precision() == "highest" and not torch.backends.cudnn.allow_tf32
        return FrameworkSettings(
            threads=torch.get_num_threads(),
            float32_products="float32" if exact else "tf32",
            details={
                "deterministic": torch.are_deterministic_algorithms_enabled(),
                "onednn": torch.backends.mkldnn.is_available(),
            },
        )


_: type[contract.Model] = Model
