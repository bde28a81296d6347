"""The arithmetic of each precision in PyTorch: the type of weights and loss, and the type that autocast computes in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.amp import GradScaler

from crossframe.backends.contract import LOSS_SCALE, SCALE_GROWS_AFTER, Unsupported, check_precision
from crossframe.tasks.spec import LSTM, Task


@dataclass(frozen=True)
class Arithmetic:
    """The types of a network in one precision."""

    storage_dtype: torch.dtype
    compute_dtype: torch.dtype | None = None  # None: as the weights
    tf32: bool = False


PRECISIONS = {
    "float32": Arithmetic(torch.float32),
    "float64": Arithmetic(torch.float64),
    "tf32": Arithmetic(torch.float32, tf32=True),
    "bfloat16": Arithmetic(torch.float32, torch.bfloat16),
    "float16": Arithmetic(torch.float32, torch.float16),
}


def configure(task: Task, device: str, precision: str) -> Arithmetic:
    """Set PyTorch's switches for a precision and return its arithmetic; Unsupported if it is not available."""
    check_precision(precision, PRECISIONS, device)
    recurrent = task.has(LSTM)
    # oneDNN reports whether it supports float16. In bfloat16 torch has its own kernels for other processors.
    if device == "cpu" and recurrent and precision == "float16" and not torch.ops.mkldnn._is_mkldnn_fp16_supported():
        raise Unsupported("oneDNN cannot train an LSTM in float16 on this processor, and autocast uses it")
    arithmetic = PRECISIONS[precision]
    # TF32 in matrix products, convolutions and recurrent layers only on request: float32 means float32.
    torch.backends.cuda.matmul.allow_tf32 = arithmetic.tf32
    torch.backends.cudnn.allow_tf32 = arithmetic.tf32
    return arithmetic


def mix_precision(
    network: Callable[[Tensor], Tensor], arithmetic: Arithmetic, device: torch.device
) -> Callable[..., Tensor]:
    """Return the network computing in its arithmetic, with outputs in the type of the loss."""
    if arithmetic.compute_dtype is None:
        return network

    def forward(x: Tensor) -> Tensor:
        with torch.autocast(device.type, arithmetic.compute_dtype):
            outputs = network(x)
        return outputs.to(arithmetic.storage_dtype)

    return forward


def make_loss_scaler(arithmetic: Arithmetic, device: torch.device) -> GradScaler | None:
    """Return torch's own loss scaler if the range of the computed type is so small that gradients need one."""
    if arithmetic.compute_dtype != torch.float16:
        return None
    return GradScaler(device.type, init_scale=LOSS_SCALE, growth_interval=SCALE_GROWS_AFTER)
