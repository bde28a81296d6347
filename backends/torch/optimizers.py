"""The spec's optimizers in PyTorch: its own, fused into one kernel where it has one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor, optim

from crossframe.tasks import spec

# Where PyTorch's own idiom computes something else than the spec says.
DIALECT: dict[str, Any] = {
    "clip_epsilon": 1e-6,  # clip_grad_norm_ divides by norm + 1e-6
}

OPTIMIZERS: dict[type, Callable[[Iterable[Tensor], Any], optim.Optimizer]] = {
    spec.SGD: lambda p, s: optim.SGD(p, s.rate, s.momentum, weight_decay=s.weight_decay, fused=True),
    spec.Adam: lambda p, s: optim.Adam(
        p, s.rate, (s.beta1, s.beta2), s.epsilon, weight_decay=s.weight_decay, fused=True
    ),
    spec.AdaGrad: lambda p, s: optim.Adagrad(p, s.rate, eps=s.epsilon, weight_decay=s.weight_decay),
    spec.RMSProp: lambda p, s: optim.RMSprop(p, s.rate, s.decay, s.epsilon, weight_decay=s.weight_decay),
}


def schedule(task: spec.Task, optimizer: optim.Optimizer) -> optim.lr_scheduler.StepLR | None:
    """torch's StepLR, to be stepped once an update; None where the rate is constant."""
    if task.schedule is None:
        return None
    return optim.lr_scheduler.StepLR(optimizer, task.schedule.every, task.schedule.gamma)
