"""The spec's optimizers in MXNet: its own, one fused operator for each parameter where it has one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mxnet import nd, optimizer
from mxnet.lr_scheduler import FactorScheduler
from mxnet.ndarray import NDArray

from crossframe.tasks import spec

# Where MXNet's own idiom computes something else than the spec says.
DIALECT: dict[str, Any] = {
    "adam_epsilon": "before_correction",
    "adagrad_epsilon": "inside_root",
    "rmsprop_epsilon": "inside_root",
    "momentum_rate": "inside_velocity",
    # The update operators take their settings as float32, whatever the weights are. AdaGrad has no operator.
    "sgd_settings": "float32",
    "adam_settings": "float32",
    "rmsprop_settings": "float32",
}


class Rate(float):
    """A learning rate that is written without an exponent.

    Numbers reach MXNet's operators as text, and its parser (dmlc::ParseFloat) takes digits and exponent apart into two
    float32: 6.2e-05 is then read up to 1.2e-7 of itself wrong, 0.000062 is not.
    """

    def __mul__(self, factor: float) -> Rate:
        return Rate(float(self) * factor)

    def __repr__(self) -> str:
        return f"{float(self):.19f}"  # the parser looks at no more than 19 digits


OPTIMIZERS: dict[type, Callable[..., optimizer.Optimizer]] = {
    spec.SGD: lambda s, **common: optimizer.SGD(s.momentum, wd=s.weight_decay, **common),
    spec.Adam: lambda s, **common: optimizer.Adam(
        beta1=s.beta1, beta2=s.beta2, epsilon=s.epsilon, wd=s.weight_decay, **common
    ),
    # Without its `wd`, which does not go into the gradient but past the root into the weight.
    spec.AdaGrad: lambda s, **common: optimizer.AdaGrad(s.epsilon, **common),
    spec.RMSProp: lambda s, **common: optimizer.RMSProp(gamma1=s.decay, epsilon=s.epsilon, wd=s.weight_decay, **common),
}


def create_optimizer(task: spec.Task, updates: int) -> optimizer.Optimizer:
    """The optimizer, as it is after so many updates, but for its state arrays."""
    rate, schedule = Rate(task.optimizer.rate), None
    if task.schedule is not None:
        every, gamma = task.schedule.every, task.schedule.gamma
        # Unless told otherwise it stops at a rate of 1e-8, and warns that its rate is not the optimizer's.
        schedule = FactorScheduler(every, gamma, stop_factor_lr=0.0, base_lr=rate)
    rule = OPTIMIZERS[type(task.optimizer)]
    return rule(task.optimizer, learning_rate=rate, lr_scheduler=schedule, begin_num_update=updates)


def create_state(rule: optimizer.Optimizer, index: int, weight: NDArray) -> Any:
    """MXNet's own state for a parameter: None, an array or a tuple of arrays, in the weight's own precision.

    AdaGrad and RMSProp would make it float32 beside any weight, and then fail on float64.
    """
    state = rule.create_state(index, weight)
    if isinstance(state, tuple):
        return tuple(array.astype(weight.dtype) for array in state)
    return state if state is None else state.astype(weight.dtype)


def arrays(state: Any) -> list[NDArray]:
    """What `create_state` made, as a list."""
    if state is None:
        return []
    return list(state) if isinstance(state, tuple) else [state]


def clip(gradients: list[NDArray], limit: float) -> None:
    """Scale the gradients in place so that their L2 norm, taken together, is at most `limit`.

    gluon.utils.clip_global_norm does the same, with 1e-8 added to the norm, but fails on float64.
    """
    flat = [gradient.reshape(-1) for gradient in gradients]
    norm = nd.sqrt(nd.add_n(*(nd.dot(gradient, gradient) for gradient in flat)))
    scale = nd.minimum(limit / norm, 1.0)
    for gradient in gradients:
        gradient *= scale
