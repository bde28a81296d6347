"""What each precision is in PyTorch: the type of weights and loss, and the one that autocast computes in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from crossframe.backends.contract import LOSS_SCALE, SCALE_GROWS_AFTER, Unsupported
from crossframe.tasks.spec import LSTM, Task


@dataclass(frozen=True)
class Precision:
    stored: torch.dtype
    computed: torch.dtype | None = None  # None: as stored
    tf32: bool = False


PRECISIONS = {
    "float32": Precision(torch.float32),
    "float64": Precision(torch.float64),
    "tf32": Precision(torch.float32, tf32=True),
    "bfloat16": Precision(torch.float32, torch.bfloat16),
    "float16": Precision(torch.float32, torch.float16),
}


def settle(task: Task, device: str, name: str) -> Precision:
    """The precision, all switches set for it; Unsupported where it cannot be had."""
    if name not in PRECISIONS:
        raise Unsupported(f"this backend trains in {', '.join(PRECISIONS)}, not in {name}")
    precision = PRECISIONS[name]
    if precision.tf32 and device == "cpu":
        raise Unsupported("a product in TF32 needs an NVIDIA GPU; on the CPU there is none")
    recurrent = any(isinstance(layer, LSTM) for layer in task.layers)
    # By oneDNN's own account. In bfloat16 torch has kernels of its own for a processor for which oneDNN has none.
    if device == "cpu" and recurrent and name == "float16" and not torch.ops.mkldnn._is_mkldnn_fp16_supported():
        raise Unsupported("oneDNN cannot train an LSTM in float16 on this processor, and autocast asks it to")
    # Unless asked for, no TF32 in matrix products, convolutions or recurrent layers: float32 shall mean float32.
    torch.backends.cuda.matmul.allow_tf32 = precision.tf32
    torch.backends.cudnn.allow_tf32 = precision.tf32
    return precision


def mixed(network: Callable[[Tensor], Tensor], device: torch.device, precision: Precision) -> Callable[..., Tensor]:
    """The network, computing in the precision, its outputs in that of the loss."""
    if precision.computed is None:
        return network

    def forward(x: Tensor) -> Tensor:
        with torch.autocast(device.type, precision.computed):
            outputs = network(x)
        return outputs.to(precision.stored)

    return forward


def scaler(device: torch.device, precision: Precision) -> torch.amp.GradScaler | None:
    """torch's own loss scaling, where the range of numbers is so small that gradients need it."""
    if precision.computed != torch.float16:
        return None
    return torch.amp.GradScaler(device.type, init_scale=LOSS_SCALE, growth_interval=SCALE_GROWS_AFTER)
