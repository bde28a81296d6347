"""The spec's optimizers in MXNet: those of `mxnet.optimizer`, each a fused operator per parameter where possible."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from mxnet import nd, optimizer
from mxnet.lr_scheduler import FactorScheduler, LRScheduler
from mxnet.ndarray import NDArray

from crossframe.backends.contract import Dialect
from crossframe.tasks import spec

# The differences of MXNet's own idiom from the spec.
DIALECT: Dialect = {
    "adam_epsilon": "before_correction",
    "adagrad_epsilon": "inside_root",
    "rmsprop_epsilon": "inside_root",
    "momentum_rate": "inside_velocity",
    # The update operators take their settings as float32, beside weights of any type. AdaGrad has no operator.
    "sgd_settings": "float32",
    "adam_settings": "float32",
    "rmsprop_settings": "float32",
    "running_momentum": "float32",
}


class Rate(float):
    """A learning rate whose text has no exponent.

    MXNet passes numbers to its operators as text, and its parser (dmlc::ParseFloat) reads digits and exponent as two
    float32 numbers: 6.2e-05 then has a relative error of up to 1.2e-7, 0.000062 has not.
    """

    def __mul__(self, factor: float) -> Rate:
        return Rate(float(self) * factor)

    def __repr__(self) -> str:
        return f"{float(self):.19f}"  # the parser reads at most 19 digits


class Cosine(LRScheduler):
    """The rates of the spec's cosine; MXNet's own begins its warm-up at a rate of zero, one update later."""

    def __init__(self, schedule: spec.CosineSchedule, rate: Rate) -> None:
        super().__init__(base_lr=rate)
        self.schedule = schedule

    def __call__(self, num_update: int) -> Rate:
        return self.base_lr * self.schedule.factor(num_update - 1)


# Settings of the spec and the common arguments of `make_optimizer` -> MXNet's optimizer.
OPTIMIZERS: dict[type, Callable[..., optimizer.Optimizer]] = {
    spec.SGD: lambda s, **common: (
        optimizer.NAG(**common, momentum=s.momentum)
        if s.nesterov
        else optimizer.SGD(**common, momentum=s.momentum, wd=s.weight_decay)
    ),
    spec.Adam: lambda s, **common: optimizer.Adam(
        **common, beta1=s.beta1, beta2=s.beta2, epsilon=s.epsilon, wd=s.weight_decay
    ),
    spec.AdaGrad: lambda s, **common: optimizer.AdaGrad(**common, eps=s.epsilon),
    spec.RMSProp: lambda s, **common: optimizer.RMSProp(**common, gamma1=s.decay, epsilon=s.epsilon, wd=s.weight_decay),
}


def find_separate_decay(settings: spec.Optimizer) -> float:
    """Return the weight decay that is to be added to the gradients, since the optimizer itself does another; or 0.

    AdaGrad adds `wd` after the division by the root. NAG's velocity gets the decay of the weights after the update
    (tests/findings/mxnet_nesterov_decay.py); its settings are float32, as those of SGD.
    """
    if isinstance(settings, spec.SGD):
        return float(np.float32(settings.weight_decay)) if settings.nesterov else 0.0
    return settings.weight_decay if isinstance(settings, spec.AdaGrad) else 0.0


def make_optimizer(task: spec.Task, updates: int) -> optimizer.Optimizer:
    """Return the optimizer of a task after a number of updates, without its state arrays."""
    rate, schedule = Rate(task.optimizer.rate), None
    if isinstance(task.schedule, spec.StepSchedule):
        every, gamma = task.schedule.every, task.schedule.gamma
        # The default schedule stops at a rate of 1e-8, and warns that its rate is not that of the optimizer.
        schedule = FactorScheduler(every, gamma, stop_factor_lr=0.0, base_lr=rate)
    elif task.schedule is not None:
        schedule = Cosine(task.schedule, rate)
    rule = OPTIMIZERS[type(task.optimizer)]
    return rule(task.optimizer, learning_rate=rate, lr_scheduler=schedule, begin_num_update=updates)


def make_state(rule: optimizer.Optimizer, index: int, weight: NDArray) -> Any:
    """Return MXNet's own state for a parameter: None, an array or a tuple of arrays, in the type of the weight.

    AdaGrad and RMSProp make it float32 beside any weight, and then fail on float64.
    """
    state = rule.create_state(index, weight)
    if isinstance(state, tuple):
        return tuple(array.astype(weight.dtype) for array in state)
    return state if state is None else state.astype(weight.dtype)


def list_arrays(state: Any) -> list[NDArray]:
    """Return the arrays of a state made by `make_state`."""
    if state is None:
        return []
    return list(state) if isinstance(state, tuple) else [state]


def clip(gradients: list[NDArray], max_norm: float) -> None:
    """Scale the gradients in place so that their common L2 norm is at most `max_norm`.

    gluon.utils.clip_global_norm does the same, with 1e-8 added to the norm, but fails on float64.
    """
    flat = [gradient.reshape(-1) for gradient in gradients]
    norm = nd.sqrt(nd.add_n(*(nd.dot(gradient, gradient) for gradient in flat)))
    scale = nd.minimum(max_norm / norm, 1.0)
    for gradient in gradients:
        gradient *= scale
