"""The optimizers of the probes, and what varies around them: weight decay, schedule and clipping."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from crossframe.harness.worker.probes import Probe
from crossframe.tasks.spec import (
    SGD,
    AdaGrad,
    Adam,
    Optimizer,
    RMSProp,
    StepSchedule,
    Task,
)

DECAY = 0.05
OWN = "own optimizer"  # begins the names of its probes on a small network
# Every optimizer of the spec. Epsilon is far larger than in the tasks, so that its position in the formula shows; no
# setting is a framework's default, so that one that is not passed on shows.
OPTIMIZERS: dict[str, Optimizer] = {
    "sgd": SGD(0.05),
    "momentum": SGD(0.05, momentum=0.8),
    "adam": Adam(0.005, beta1=0.8, beta2=0.97, epsilon=1e-3),
    "adagrad": AdaGrad(0.02, epsilon=1e-3),
    "rmsprop": RMSProp(0.002, decay=0.8, epsilon=1e-3),
}
Variant = Callable[[Task, float], Task]  # the task and a limit of gradient norms that is exceeded about half the time
SINGLE_VARIANTS: dict[str, Variant] = {
    "decay": lambda task, limit: replace(task, optimizer=replace(task.optimizer, weight_decay=DECAY)),
    "schedule": lambda task, limit: replace(task, schedule=StepSchedule(every=3, gamma=0.9)),
    "clip": lambda task, limit: replace(task, clip_norm=limit),
}


def combine_variants(task: Task, limit: float) -> Task:
    """Return a task with all variants at once."""
    for change in SINGLE_VARIANTS.values():
        task = change(task, limit)
    return task


VARIANTS: dict[str, Variant] = {"plain": lambda task, limit: task, "all variants": combine_variants}
# One variant at a time shows which of them is wrong. SGD is enough for that: a compiler takes longest for the others.
SGD_VARIANTS = {"plain": VARIANTS["plain"], **SINGLE_VARIANTS, "all variants": combine_variants}


def is_optimizer_probe(probe: Probe) -> bool:
    """Return whether a probe is about an optimizer, by its name, on the smallest network or on a small one."""
    return probe.name.startswith(OWN) or probe.name.partition(" ")[0] in OPTIMIZERS


def name_optimizer(optimizer: Optimizer) -> str:
    """Return the name in `OPTIMIZERS` of the rule that an optimizer follows, whatever its settings."""
    if isinstance(optimizer, SGD):
        return "nesterov" if optimizer.nesterov else "momentum" if optimizer.momentum else "sgd"
    return type(optimizer).__name__.lower()
