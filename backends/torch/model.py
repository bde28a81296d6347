"""PyTorch by the contract: an eager loop, or the network and its loss compiled by TorchInductor."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from backends.contract import Batch, Unsupported
from backends.torch.network import LOSSES, addresses, build
from backends.torch.optimizers import OPTIMIZERS, schedule
from tasks.spec import Arrays, Task

MODES = ("eager", "compile")
PRECISIONS = {"float32": torch.float32, "float64": torch.float64}


def prepare(task: Task, weights: Arrays, device: str, mode: str, precision: str) -> Model:
    """The model on `device`, ready to train."""
    if precision not in PRECISIONS:
        raise Unsupported(f"this backend trains in {', '.join(PRECISIONS)}, not in {precision}")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise Unsupported(f"this build of torch, {torch.__version__}, sees no CUDA device")
    # float32 shall mean float32: no TF32 in matrix products or convolutions.
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    return Model(task, weights, torch.device(device), mode, PRECISIONS[precision])


class Model:
    def __init__(self, task: Task, weights: Arrays, device: torch.device, mode: str, dtype: torch.dtype):
        self.task = task
        self.device = device
        self.dtype = dtype
        self.network = build(task).to(device, dtype)
        for name, (key, convert) in addresses(task).items():
            self.network.get_parameter(key).data.copy_(torch.as_tensor(convert(weights[name]), dtype=dtype))
        trained = [p for p in self.network.parameters() if p.requires_grad]
        self.trained = trained
        self.optimizer = OPTIMIZERS[type(task.optimizer)](trained, task.optimizer)
        self.schedule = schedule(task, self.optimizer)
        self.loss = LOSSES[task.loss]
        self.forward = torch.compile(self.evaluate) if mode == "compile" else self.evaluate
        self.infer = torch.compile(self.network) if mode == "compile" else self.network

    def evaluate(self, x: Tensor, y: Tensor) -> Tensor:
        return self.loss(self.network(x), y)

    def put(self, x: np.ndarray, y: np.ndarray) -> Batch:
        targets = torch.as_tensor(y, dtype=torch.int64 if y.ndim == 1 else self.dtype)
        return torch.as_tensor(x, dtype=self.dtype).to(self.device), targets.to(self.device)

    def train(self, batches: Sequence[Batch]) -> None:
        for x, y in batches:
            self.optimizer.zero_grad()
            self.forward(x, y).backward()
            if self.task.clip_norm is not None:
                nn.utils.clip_grad_norm_(self.trained, self.task.clip_norm)
            self.optimizer.step()
            if self.schedule is not None:
                self.schedule.step()

    @torch.inference_mode()
    def predict(self, x: np.ndarray) -> np.ndarray:
        return self.infer(torch.as_tensor(x, dtype=self.dtype).to(self.device)).cpu().numpy()

    def weights(self) -> Arrays:
        state = self.network.state_dict()
        return {name: convert(state[key].cpu().numpy()).copy() for name, (key, convert) in addresses(self.task).items()}

    def sync(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def save(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        scheduled = self.schedule.state_dict() if self.schedule else {}
        parts = {"network": self.network, "optimizer": self.optimizer}
        torch.save({name: part.state_dict() for name, part in parts.items()} | {"schedule": scheduled}, path / "model.pt")

    def load(self, path: Path) -> None:
        # weights_only: a checkpoint holds tensors, and no code that unpickling would run.
        saved = torch.load(path / "model.pt", map_location=self.device, weights_only=True)
        self.network.load_state_dict(saved["network"])
        self.optimizer.load_state_dict(saved["optimizer"])
        if self.schedule:
            self.schedule.load_state_dict(saved["schedule"])

    def export_onnx(self, path: Path, opset: int) -> None:
        # A batch of 2, since the exporter takes an axis of size 1 for a constant.
        example = torch.zeros(2, *self.task.input_shape, dtype=self.dtype, device=self.device)
        torch.onnx.export(
            self.network.eval(),
            (example,),
            path,
            input_names=["x"],
            output_names=["y"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            opset_version=opset,
            dynamo=True,
            external_data=False,  # one file, weights inside
            verbose=False,
        )

    def placement(self) -> str:
        return str(self.trained[0].device)

    def device_peak_bytes(self) -> int | None:
        return torch.cuda.max_memory_allocated(self.device) if self.device.type == "cuda" else None
