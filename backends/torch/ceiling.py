"""A product and a copy, to see what the device can do at most in PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from crossframe.backends.contract import Work, repeated

if TYPE_CHECKING:
    from crossframe.backends.torch.model import Model


def works(model: Model, side: int, size: int) -> tuple[Work, Work]:
    """`mm` and `copy_`, into memory that is there."""
    square = torch.rand(side, side, device=model.device).to(model.computed)
    source = torch.ones(size // 4, device=model.device)
    product, target = torch.empty_like(square), torch.empty_like(source)
    multiply = repeated(lambda: torch.mm(square, square, out=product), model.sync)
    return multiply, repeated(lambda: target.copy_(source), model.sync)
