"""PyTorch by the contract: an eager loop, or the gradients (forward, loss and backward) compiled by TorchInductor.

With `reduce-overhead`, on a GPU, kernels are replayed as a CUDA graph, whose results the next replay overwrites: an
update is done with them by then. With `max-autotune`, they are chosen by trial as well.
"""

from __future__ import annotations

import copy
import logging
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from crossframe.backends.contract import Batch, Operator, Unsupported, Work, place_of_all
from crossframe.backends.torch.network import LOSSES, addresses, build
from crossframe.backends.torch.onnx_export import ROUTES
from crossframe.backends.torch.optimizers import OPTIMIZERS, schedule
from crossframe.backends.torch.precision import Precision, mixed, scaler, settle
from crossframe.tasks.spec import Arrays, Task

MODES = ("eager", "compile", "reduce-overhead", "max-autotune")


def prepare(task: Task, weights: Arrays, device: str, mode: str, precision: str) -> Model:
    """The model on `device`, ready to train."""
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise Unsupported(f"this build of torch, {torch.__version__}, sees no CUDA device")
    if mode == "reduce-overhead" and device == "cpu":
        raise Unsupported("reduce-overhead replays CUDA graphs; on the CPU it is compile")
    settled = settle(task, device, precision)
    # Inductor may run what reads the gradient of a max pooling before the scatter that writes it, and return zeros for
    # all layers below (pytorch#185509, seen in 2.13.0 on the CPU). Deterministic algorithms do without the scatter.
    torch.use_deterministic_algorithms(torch.device(device).type == "cpu")
    torch.utils.deterministic.fill_uninitialized_memory = False  # a debugging aid that costs a pass over each buffer
    if mode != "eager":
        torch._dynamo.config.trace_autograd_ops = True  # else `torch.autograd.grad` splits the graph
        # Else, after a few models in one process or sizes of one batch, torch runs the next eagerly.
        torch._dynamo.config.recompile_limit = torch._dynamo.config.accumulated_recompile_limit = sys.maxsize
    return Model(task, weights, torch.device(device), mode, settled)


def replayed(do: Callable[..., Any]) -> Callable[..., Any]:
    """Calls of a CUDA graph, each of which may overwrite what the one before returned."""

    def call(*tensors: Tensor | None) -> Any:
        torch.compiler.cudagraph_mark_step_begin()
        return do(*tensors)

    return call


class Model:
    def __init__(self, task: Task, weights: Arrays, device: torch.device, mode: str, precision: Precision):
        self.task = task
        self.device = device
        self.answer: Tensor | None = None  # what `predict` returned last
        self.dtype = dtype = precision.stored
        self.computed = precision.computed or dtype
        # Channels last is the layout that convolutions run fastest in; other parameters stay as they are.
        self.network = build(task).to(device, dtype, memory_format=torch.channels_last)
        for name, (key, convert) in addresses(task).items():
            self.network.get_parameter(key).data.copy_(torch.as_tensor(convert(weights[name]), dtype=dtype))
        trained = [p for p in self.network.parameters() if p.requires_grad]
        self.trained = trained
        self.optimizer = OPTIMIZERS[type(task.optimizer)](trained, task.optimizer)
        self.schedule = schedule(task, self.optimizer)
        self.loss = LOSSES[task.loss]
        self.scaler = scaler(device, precision)
        self.one = torch.ones((), device=device)
        self.forward = mixed(self.network.forward, device, precision)
        self.gradients, self.infer = self.differentiate, self.forward
        if mode != "eager":
            # Not dynamic, else at the second size of a batch torch compiles for any size, and uses that from then on.
            how: dict[str, Any] = {"mode": None if mode == "compile" else mode, "dynamic": False}
            self.gradients = torch.compile(self.gradients, **how)
            self.infer = torch.compile(self.infer, **how)
        if mode in ("reduce-overhead", "max-autotune"):
            self.gradients, self.infer = replayed(self.gradients), replayed(self.infer)

    def differentiate(self, x: Tensor, y: Tensor, scale: Tensor | None = None) -> tuple[Tensor, ...]:
        return torch.autograd.grad(self.loss(self.forward(x), y), self.trained, scale)

    def put(self, x: np.ndarray, y: np.ndarray) -> Batch:
        targets = torch.as_tensor(y, dtype=torch.int64 if y.ndim == 1 else self.dtype)
        return torch.as_tensor(x, dtype=self.dtype).to(self.device), targets.to(self.device)

    def train(self, batches: Sequence[Batch]) -> None:
        for x, y in batches:
            if self.scaler is not None:
                self.scaled_update(self.scaler, x, y)
                continue
            for parameter, gradient in zip(self.trained, self.gradients(x, y)):
                parameter.grad = gradient
            if self.task.clip_norm is not None:
                nn.utils.clip_grad_norm_(self.trained, self.task.clip_norm)
            self.optimizer.step()
            if self.schedule is not None:
                self.schedule.step()

    def scaled_update(self, scaler: torch.amp.GradScaler, x: Tensor, y: Tensor) -> None:
        """An update with the loss scaled. A fused optimizer learns on the device whether it is to be left out."""
        for parameter, gradient in zip(self.trained, self.gradients(x, y, scaler.scale(self.one))):
            parameter.grad = gradient
        if self.task.clip_norm is not None:
            scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.trained, self.task.clip_norm)
        scale = scaler.get_scale() if self.schedule else 0.0  # this waits for the device, so only for a schedule
        scaler.step(self.optimizer)
        scaler.update()
        if self.schedule is not None and scaler.get_scale() >= scale:
            self.schedule.step()

    @torch.inference_mode()
    def predict(self, x: np.ndarray) -> np.ndarray:
        outputs = self.infer(torch.as_tensor(x, dtype=self.dtype).to(self.device))
        self.answer = outputs
        return outputs.cpu().numpy()

    def weights(self) -> Arrays:
        state = self.network.state_dict()
        return {name: convert(state[key].cpu().numpy()).copy() for name, (key, convert) in addresses(self.task).items()}

    def sync(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def save(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        torch.save({name: part.state_dict() for name, part in self.parts().items()}, path / "model.pt")

    def load(self, path: Path) -> None:
        # weights_only: a checkpoint holds tensors, and no code that unpickling would run.
        saved = torch.load(path / "model.pt", map_location=self.device, weights_only=True)
        for name, part in self.parts().items():
            part.load_state_dict(saved[name])

    def parts(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        parts = {"network": self.network, "optimizer": self.optimizer, "schedule": self.schedule, "scaler": self.scaler}
        return {name: part for name, part in parts.items() if part is not None}

    @torch.inference_mode()  # without gradients to trace, an LSTM takes less than half of the time
    def export_onnx(self, path: Path, opset: int, route: str = "dynamo") -> None:
        network = copy.deepcopy(self.network).cpu().eval()  # a copy: the exporter rebinds an LSTM's weights
        # A batch of 2, since the exporter takes an axis of size 1 for a constant.
        example = torch.zeros(2, *self.task.input_shape, dtype=self.dtype)
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # each export says that torchvision is not installed
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about torch's own use of what it deprecates
            ROUTES[route](network, example, path, opset)

    def placement(self) -> str:
        tensors = [*self.network.parameters(), *([] if self.answer is None else [self.answer])]
        return place_of_all(str(tensor.device) for tensor in tensors)

    def device_peak_bytes(self) -> int | None:
        return torch.cuda.max_memory_allocated(self.device) if self.device.type == "cuda" else None

    def device_reserved_bytes(self) -> int | None:
        return torch.cuda.max_memory_reserved(self.device) if self.device.type == "cuda" else None

    def settings(self) -> dict[str, Any]:
        exact = torch.get_float32_matmul_precision() == "highest" and not torch.backends.cudnn.allow_tf32
        return {
            "threads": torch.get_num_threads(),
            "float32_products": "float32" if exact else "tf32",
            "deterministic": torch.are_deterministic_algorithms_enabled(),
            "onednn": torch.backends.mkldnn.is_available(),
        }

    def profile(self, batches: Sequence[Batch]) -> list[Operator]:
        from crossframe.backends.torch.profiler import operators

        return operators(self, batches)

    def ceiling(self, side: int, size: int) -> tuple[Work, Work]:
        from crossframe.backends.torch.ceiling import works

        return works(self, side, size)
