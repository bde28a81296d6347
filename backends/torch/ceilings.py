"""A matrix product and a copy in PyTorch, for measuring the ceilings of a device."""

from __future__ import annotations

import torch

from crossframe.backends.contract import RepeatedOperation, repeat_then_sync
from crossframe.backends.torch.model import Model


def ceiling(model: Model, side: int, size: int) -> tuple[RepeatedOperation, RepeatedOperation]:
    """Return `mm` of `side` x `side` matrices and `copy_` of `size` bytes, both into allocated memory."""
    square = torch.rand(side, side, device=model.device).to(model.compute_dtype)
    source = torch.ones(size // 4, device=model.device)
    product, target = torch.empty_like(square), torch.empty_like(source)
    multiply = repeat_then_sync(lambda: torch.mm(square, square, out=product), model.sync)
    return multiply, repeat_then_sync(lambda: target.copy_(source), model.sync)
