"""The probes of a task: small trainings whose traces are compared with those of the reference model.

A probe runs in the backend's own process and in the reference model, and leaves the same arrays in both
(`crossframe.harness.worker.probes`); `crossframe.harness.parity.checks` compares them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from crossframe.harness.worker.probes import EPOCH, Probe
from crossframe.tasks.spec import SGD, AdaGrad, Adam, Arrays, Layer, MaxPool2D, Optimizer, RMSProp, StepSchedule, Task

SAMPLES = 16  # in a drawn batch
ODD_SAMPLES = (SAMPLES, 1, 5)  # a batch of one sample, and an incomplete last batch
STEPS = 20
WEIGHTS_AFTER = (1, 2, 3, STEPS)  # the first update shows the rule, the next two the state of the optimizer
NOISE = 0.01  # standard deviation; that of the data is about 1


# Every optimizer of the spec. Epsilon is far larger than in the tasks, so that its position in the formula shows.
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


def has_pooling(task: Task) -> bool:
    """Return whether the network has a pooling layer."""
    return any(isinstance(layer, MaxPool2D) for layer in task.layers)


def list_prefixes(task: Task) -> Iterator[tuple[str, Task]]:
    """Yield (name of a layer, the network up to and including that layer) for all layers but the last."""
    layers: tuple[Layer, ...] = ()
    for name, layer, _ in list(task.walk())[:-1]:
        layers = (*layers, layer)
        # Loss and optimizer do not matter: the probe of a prefix compares outputs only.
        yield name, replace(task, layers=layers, loss="mean_squared_error", optimizer=SGD(0.0))


def design_probes(task: Task, epoch_steps: int, every_optimizer: bool) -> list[Probe]:
    """Return all probes of a task, single layers first: the first that fails shows where the error is.

    `every_optimizer` adds all optimizers in all variants. It is meant for the smallest network only, since an optimizer
    treats all parameters alike; another network gets its own optimizer with all variants at once.
    """
    drawn = tuple(f"drawn{number}" for number in range(STEPS))
    odd = tuple(f"odd{number}" for number in range(len(ODD_SAMPLES)))
    epoch = tuple(f"epoch{number}" for number in range(epoch_steps))
    probes = [Probe(f"forward {name}", prefix, drawn[:1], outputs=True) for name, prefix in list_prefixes(task)]
    probes.append(Probe("forward", task, drawn[:1], weights_after=(0,), outputs=True))
    # One plain step at rate 1 subtracts the gradient from the weights, so the contract needs no method for gradients.
    plain = replace(task, optimizer=SGD(1.0), schedule=None, clip_norm=None)
    probes.append(Probe("gradient", plain, drawn[:1], weights_after=(1,)))
    if task.loss == "binary_cross_entropy":
        probes.append(Probe("gradient at zero", plain, ("zeros",), weights_after=(1,)))
    probes.append(Probe("odd batches", replace(plain, optimizer=SGD(0.05)), odd, weights_after=(1, 2, 3), twice=True))
    probes += design_optimizer_probes(task, drawn, every_optimizer)
    weights_after = {2**power for power in range(10) if 2**power < epoch_steps} | {epoch_steps}
    probes.append(Probe(EPOCH, task, epoch, weights_after=tuple(sorted(weights_after)), outputs=True))
    return probes


def design_optimizer_probes(task: Task, drawn: tuple[str, ...], every_optimizer: bool) -> list[Probe]:
    """Return the probes of the optimizers, on the drawn batches; see `design_probes`."""
    if every_optimizer:
        return [
            Probe(f"{name} {variant}", change(replace(task, optimizer=optimizer)), drawn, weights_after=WEIGHTS_AFTER)
            for name, optimizer in OPTIMIZERS.items()
            for variant, change in VARIANTS.items()
        ]
    changed = task
    for change in VARIANTS.values():
        changed = change(changed)
    return [Probe("own optimizer, all variants", changed, drawn[:9], weights_after=(1, 2, 3, 9))]


def draw_batches(task: Task, x: np.ndarray, y: np.ndarray, order: np.ndarray, seed: int) -> Arrays:
    """Return the batches of the probes: `<batch>/x` and `<batch>/y` -> array.

    `x` and `y` are the training data, `order` is (steps, batch), the rows of each batch of the first epoch. Drawn
    batches are noise, so that no input is zero; the batches of the epoch are real data.

    In real data a flat background makes the four values of a pooling window equal up to rounding, which then decides
    where the gradient goes, in each framework differently. For a network with pooling, noise on the data makes the
    largest value unambiguous.
    """
    generator = np.random.default_rng(seed)
    noise = NOISE if has_pooling(task) else 0.0
    classes = int(y.max()) + 1 if y.ndim == 1 else None
    batches: Arrays = {}
    sizes = {f"drawn{number}": SAMPLES for number in range(STEPS)}
    sizes |= {f"odd{number}": size for number, size in enumerate(ODD_SAMPLES)}
    for name, size in sizes.items():
        drawn = generator.normal(size=(size, *task.input_shape)).astype(np.float32)
        batches[f"{name}/x"] = drawn
        batches[f"{name}/y"] = drawn if classes is None else generator.integers(0, classes, size)
    if task.loss == "binary_cross_entropy":
        # While biases are zero, every logit is exactly zero, where a loss written with relu and abs has two kinks.
        batches["zeros/x"] = np.zeros_like(batches["drawn0/x"])
        batches["zeros/y"] = batches["drawn0/y"]
    for number, rows in enumerate(order):
        inputs = x[rows] + noise * generator.normal(size=x[rows].shape).astype(np.float32) if noise else x[rows]
        batches[f"epoch{number}/x"] = inputs
        batches[f"epoch{number}/y"] = inputs if classes is None else y[rows]
    return batches
