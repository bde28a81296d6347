"""What parity asks of a backend: probes, each a task, a few batches, and when to look at the weights.

A probe runs in two places, in the backend's own process and in the oracle, and leaves the same arrays in both
(`trace`); `crossframe.harness.parity.checks` compares them. Runs inside the oldest environment too: NumPy and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np

from crossframe.harness.worker.probes import EPOCH, Probe
from crossframe.tasks.spec import SGD, AdaGrad, Adam, Arrays, Layer, MaxPool2D, Optimizer, RMSProp, StepSchedule, Task

SMALL = 16  # samples in a drawn batch
ODD = (SMALL, 1, 5)  # a batch of one, and a short last one
STEPS = 20
LOOKS = (1, 2, 3, STEPS)  # the first shows the rule, the next two the optimizer's state
GRAIN = 0.01  # of data whose own deviation is about 1


# Every optimizer of the spec. Epsilon is far above what it is in the tasks, so that where it stands can be seen.
OPTIMIZERS: dict[str, Optimizer] = {
    "sgd": SGD(0.05),
    "momentum": SGD(0.05, momentum=0.9),
    "adam": Adam(0.005, epsilon=1e-3),
    "adagrad": AdaGrad(0.02, epsilon=1e-3),
    "rmsprop": RMSProp(0.002, epsilon=1e-3),
}
VARIANTS: dict[str, Callable[[Task], Task]] = {
    "plain": lambda task: task,
    "decay": lambda task: replace(task, optimizer=replace(task.optimizer, weight_decay=0.05)),
    "schedule": lambda task: replace(task, schedule=StepSchedule(every=7, gamma=0.5)),
    "clip": lambda task: replace(task, clip_norm=0.1),
}


def pooled(task: Task) -> bool:
    return any(isinstance(layer, MaxPool2D) for layer in task.layers)


def prefixes(task: Task) -> Iterable[tuple[str, Task]]:
    """(name of a layer, the network up to and with it), for every layer but the last."""
    layers: tuple[Layer, ...] = ()
    for name, layer, _ in list(task.walk())[:-1]:
        layers = (*layers, layer)
        # The loss plays no part: such a network is only asked for its outputs.
        yield name, replace(task, layers=layers, loss="mean_squared_error", optimizer=SGD(0.0))


def probes(task: Task, epoch_steps: int, every_optimizer: bool) -> list[Probe]:
    """All that is asked about a task, from the inside out: what fails first says where to look.

    `every_optimizer`: the whole matrix of optimizers and variants, which is asked about the smallest network alone,
    since an optimizer treats every parameter alike; a larger network gets its own optimizer in all variants at once.
    """
    drawn = tuple(f"drawn{number}" for number in range(STEPS))
    odd = tuple(f"odd{number}" for number in range(len(ODD)))
    epoch = tuple(f"epoch{number}" for number in range(epoch_steps))
    found = [Probe(f"forward {name}", prefix, drawn[:1], outputs=True) for name, prefix in prefixes(task)]
    found.append(Probe("forward", task, drawn[:1], weights_after=(0,), outputs=True))
    # One plain step at rate 1 turns the weights into the gradient: the contract needs no method for it.
    plain = replace(task, optimizer=SGD(1.0), schedule=None, clip_norm=None)
    found.append(Probe("gradient", plain, drawn[:1], weights_after=(1,)))
    found.append(Probe("odd batches", replace(plain, optimizer=SGD(0.05)), odd, weights_after=(1, 2, 3), twice=True))
    if every_optimizer:
        for name, optimizer in OPTIMIZERS.items():
            for variant, change in VARIANTS.items():
                changed = change(replace(task, optimizer=optimizer))
                found.append(Probe(f"{name} {variant}", changed, drawn, weights_after=LOOKS))
    else:
        changed = task
        for change in VARIANTS.values():
            changed = change(changed)
        found.append(Probe("own optimizer, all variants", changed, drawn[:9], weights_after=(1, 2, 3, 9)))
    looks = tuple(sorted({2**power for power in range(10) if 2**power < epoch_steps} | {epoch_steps}))
    found.append(Probe(EPOCH, task, epoch, weights_after=looks, outputs=True))
    return found


def draw_batches(task: Task, x: np.ndarray, y: np.ndarray, order: np.ndarray, seed: int) -> Arrays:
    """Name of a batch and side -> array. Drawn batches are noise, so that no input is zero; the epoch is real data.

    Real data of a real trap: a flat background makes the four values of a pool equal but for rounding, which then
    decides where the gradient goes, in every framework otherwise. So a pooled network gets a grain of noise on it,
    which makes the largest one certain.
    """
    generator = np.random.default_rng(seed)
    grain = GRAIN if pooled(task) else 0.0
    classes = int(y.max()) + 1 if y.ndim == 1 else None
    batches: Arrays = {}
    sizes = {f"drawn{number}": SMALL for number in range(STEPS)} | {f"odd{n}": size for n, size in enumerate(ODD)}
    for name, size in sizes.items():
        noise = generator.normal(size=(size, *task.input_shape)).astype(np.float32)
        batches[f"{name}/x"] = noise
        batches[f"{name}/y"] = noise if classes is None else generator.integers(0, classes, size)
    for number, rows in enumerate(order):
        seen = x[rows] + grain * generator.normal(size=x[rows].shape).astype(np.float32) if grain else x[rows]
        batches[f"epoch{number}/x"] = seen
        batches[f"epoch{number}/y"] = seen if classes is None else y[rows]
    return batches
