"""The spec's optimizers in PyTorch: those of `torch.optim`, fused into one kernel where possible."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from torch import Tensor, optim

from crossframe.backends.contract import Dialect
from crossframe.tasks import spec

# The differences of PyTorch's own idiom from the spec.
DIALECT: Dialect = {
    "clip_epsilon": 1e-6,  # clip_grad_norm_ divides by norm + 1e-6
    "running_variance": "unbiased",
}

# Settings of the spec and the common arguments `params` and `lr` -> PyTorch's optimizer.
OPTIMIZERS: dict[type, Callable[..., optim.Optimizer]] = {
    spec.SGD: lambda s, **common: optim.SGD(
        **common, momentum=s.momentum, weight_decay=s.weight_decay, nesterov=s.nesterov, fused=True
    ),
    spec.Adam: lambda s, **common: optim.Adam(
        **common, betas=(s.beta1, s.beta2), eps=s.epsilon, weight_decay=s.weight_decay, fused=True
    ),
    spec.AdaGrad: lambda s, **common: optim.Adagrad(**common, eps=s.epsilon, weight_decay=s.weight_decay),
    spec.RMSProp: lambda s, **common: optim.RMSprop(
        **common, alpha=s.decay, eps=s.epsilon, weight_decay=s.weight_decay
    ),
}


def make_optimizer(task: spec.Task, parameters: Iterable[Tensor]) -> optim.Optimizer:
    """Return the optimizer of a task for the given parameters, at its initial rate."""
    return OPTIMIZERS[type(task.optimizer)](task.optimizer, params=parameters, lr=task.optimizer.rate)


def make_schedule(task: spec.Task, optimizer: optim.Optimizer) -> optim.lr_scheduler.LRScheduler | None:
    """Return torch's schedule, to be stepped after each update; None if the rate is constant."""
    schedule = task.schedule
    if schedule is None:
        return None
    if isinstance(schedule, spec.StepSchedule):
        return optim.lr_scheduler.StepLR(optimizer, schedule.every, schedule.gamma)
    return optim.lr_scheduler.LambdaLR(optimizer, schedule.factor)
