"""The probes of a task: small trainings whose traces are compared with those of the reference model.

A probe runs in the backend's own process and in the reference model, and leaves the same arrays in both
(`crossframe.harness.worker.probes`); `crossframe.harness.parity.checks` compares them.

Probes are made so that what they look for shows, and rounding does not: biases are not zero, batches differ in size and
scale, so that their order matters; samples that bring a ReLU or a pooling window next to a tie are not used; a limit of
clipping lies in the middle of the gradient norms. tests/unit/parity/test_probe_design.py holds each of these.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

import crossframe.backends.reference.model as reference
from crossframe.harness.parity.optimizer_variants import OPTIMIZERS, OWN, SGD_VARIANTS, VARIANTS, combine_variants
from crossframe.harness.parity.probe_batches import SCALES, SMALL, STEEP, TIES, Design
from crossframe.harness.worker.probes import EPOCH, INITIAL, Probe
from crossframe.tasks.spec import (
    LSTM,
    SGD,
    Arrays,
    BatchNorm,
    Dense,
    Layer,
    MaxPool2D,
    ReLU,
    StepSchedule,
    Task,
)

SAMPLES = 16  # in a drawn batch
FEW_SAMPLES = 4  # in each of many batches
# A full batch, then incomplete ones whose size does not divide it, and one of one sample between two of equal size.
ODD_SAMPLES = (SAMPLES, 5, 1, 5)
STEPS = 20
WEIGHTS_AFTER = (1, 2, STEPS)  # the first update shows the rule, the next the state of the optimizer; then many a call
LONG_STEPS = 128
LONG_WEIGHTS_AFTER = (1, 2, STEPS, LONG_STEPS)
# The probe that lasts as long as the training of the run: the least batches in a late call, about the most late calls,
# and the most updates, which only a run with batches of a few samples or with much data exceeds.
FEWEST_IN_CALL, LATE_CALLS = 41, 32
MOST_LATE_STEPS = 20_000
LATE_DROPS = 6  # of the rate, by the schedule
OWN_STEPS = (4, 12)  # least and most updates in each long call of the probe of the task's own network
MOST_EPOCH_STEPS = 64  # of the first epoch; at small batch sizes an epoch has thousands
PREDICTED_ROWS = (1, 64, 257, 1000)
DISTINCT_ROWS = 64  # which the predictions repeat
STEEPEST = 200.0  # the largest logit of the probe of steep logits; the median is near 50
NOISE = 0.3  # on real data before pooling; the standard deviation of the data is about 1
LARGE_FIRST, LARGE, SMALLER = 8, 5.0, 0.4  # batches of a long probe that are larger than later ones, and their factors
MANY_TIES = 100
SLOW_EPOCH, SLOW_NETWORK = 0.1, 0.03  # shares of the rate
LEAST_EPSILON = 1e-4  # in the task's own network, where some gradients are next to zero


def has_pooling(task: Task) -> bool:
    """Return whether the network has a pooling layer."""
    return task.has(MaxPool2D)


def is_stable(task: Task) -> bool:
    """Return whether training on real data hardly amplifies rounding, and the reference model is fast."""
    return not task.has(MaxPool2D, LSTM, BatchNorm)


def list_prefixes(task: Task) -> Iterator[tuple[str, Task]]:
    """Yield (name of a layer, the network up to and including that layer) for all layers but the last."""
    layers: tuple[Layer, ...] = ()
    for name, layer, _ in list(task.walk())[:-1]:
        layers = (*layers, layer)
        # Loss and optimizer do not matter: the probe of a prefix compares outputs only.
        yield name, replace(task, layers=layers, loss="mean_squared_error", optimizer=SGD(0.0))


def shrink(task: Task) -> Task:
    """Return a small dense network with the loss and the optimizer of a task."""
    outputs = {"binary_cross_entropy": 1, "softmax_cross_entropy": 3}.get(task.loss, 5)
    return replace(task, input_shape=(5,), layers=(Dense(6), ReLU(), Dense(outputs)))


def count_ties(task: Task) -> int:
    """Return the number of rectifier inputs and pooling windows of a sample, each of which rounding may decide."""
    return sum(
        math.prod(layer.output_shape(shape)) for _, layer, shape in task.walk_leaves() if isinstance(layer, TIES)
    )


def slow_down(task: Task, rate: float) -> Task:
    """Return a network with many ties at a small share of its rate, others unchanged.

    Steps of the usual size amplify rounding there. Errors are relative to the distance that a parameter moves, so a
    slow training shows the same mistakes.
    """
    if count_ties(task) <= MANY_TIES:
        return task
    optimizer = condition(task.optimizer)
    return replace(task, optimizer=replace(optimizer, rate=optimizer.rate * rate))


def condition(optimizer: Any) -> Any:
    """Return an optimizer with an epsilon above the smallest gradients, whose sign rounding may decide."""
    if not hasattr(optimizer, "epsilon"):
        return optimizer
    return replace(optimizer, epsilon=max(LEAST_EPSILON, optimizer.epsilon))


def design_probes(  # the data of a run, and what to make of it
    task: Task, data: Arrays, weights: Arrays, every_optimizer: bool, seed: int
) -> tuple[list[Probe], Arrays]:
    """Return all probes of a task and their arrays, single layers first: the first that fails shows where the error is.

    `data` holds `x_train`, `y_train` and `order` (epochs, steps, batch); `weights` are those of the run. Batches are
    `<batch>/x` and `<batch>/y`, weights `<set>/<parameter>`. `every_optimizer` adds all optimizers. It is meant for the
    smallest network only, since an optimizer treats all parameters alike; every network gets its own optimizer.
    """
    initial = {f"{INITIAL}/{name}": value for name, value in weights.items()}
    design = Design(task, np.random.default_rng(seed), initial, [])
    design.draw_biases()
    add_forward_probes(design)
    add_gradient_probes(design)
    if every_optimizer:
        add_optimizer_probes(design)
    add_own_optimizer_probes(design, len(data["order"]) * len(data["order"][0]))
    add_network_probe(design, len(data["order"][0]))
    add_epoch_probe(design, data)
    return design.probes, design.arrays


def add_forward_probes(design: Design) -> None:
    """Add the probes of outputs: of each prefix of the network, of all of it, and of several numbers of rows."""
    task = design.task
    for name, prefix in list_prefixes(task):
        design.add(f"forward {name}", prefix, design.draw_batches(f"forward-{name}-", [SAMPLES], prefix), outputs=True)
    design.add("forward", task, design.draw_batches("forward", [SAMPLES], task), weights_after=(0,), outputs=True)
    (name,) = design.draw_batches("predicted", [DISTINCT_ROWS], task)
    x, inputs = design.arrays[f"{name}/x"], []
    for count in PREDICTED_ROWS:
        inputs.append(f"{count} rows")
        design.arrays[f"{count} rows/x"] = x
        rows = design.generator.integers(0, len(x), count)
        design.arrays[f"{count} rows/rows"] = rows
    design.add("predictions", task, [name], inputs=tuple(inputs))


def add_gradient_probes(design: Design) -> None:
    """Add the probes of the loss and its gradient, and of unusual numbers of samples."""
    task, arrays = design.task, design.arrays
    # One plain step at rate 1 subtracts the gradient from the weights, so the contract needs no method for gradients.
    plain = replace(task, optimizer=SGD(1.0), schedule=None, clip_norm=None)
    design.add("gradient", plain, design.draw_batches("gradient", [SAMPLES], task, [1.0]), weights_after=(1,))
    if task.loss == "binary_cross_entropy":
        # While biases are zero, every logit is exactly zero, where a loss written with relu and abs has two kinks.
        arrays["zeros/x"] = np.zeros_like(arrays["gradient0/x"])
        arrays["zeros/y"] = arrays["gradient0/y"]
        design.add("gradient at zero", plain, ["zeros"], start=INITIAL, weights_after=(1,))
    if task.loss != "mean_squared_error":
        (name,) = design.draw_batches("steep", [SAMPLES], task, [1.0])
        weights = design.select_weights(task)
        logits = reference.prepare(task, weights, "cpu").predict(arrays[f"{name}/x"])
        last = list(task.walk())[-1][0]
        for parameter, value in weights.items():
            factor = STEEPEST / float(np.abs(logits).max()) if parameter.startswith(f"{last}.") else 1.0
            arrays[f"{STEEP}/{parameter}"] = np.asarray(factor * value, np.float32)
        design.add("gradient at steep logits", plain, [name], start=STEEP, weights_after=(1,))
    odd = design.draw_batches("odd", ODD_SAMPLES, task, [1.0])
    slower = replace(plain, optimizer=SGD(0.05, momentum=0.9))  # state, which a change of size must not lose
    design.add("odd batches", slower, odd, weights_after=(1, len(odd)), twice=True)


def add_optimizer_probes(design: Design) -> None:
    """Add every optimizer plain and with all variants, on the network of the task, and SGD with each variant."""
    names = design.draw_batches("drawn", [SAMPLES] * STEPS, design.task)
    limit = design.find_limit(design.task, names)
    for name, optimizer in OPTIMIZERS.items():
        for variant, change in (SGD_VARIANTS if isinstance(optimizer, SGD) else VARIANTS).items():
            names = names[1:] + names[:1]  # every probe begins with another batch
            task = change(replace(design.task, optimizer=optimizer), limit)
            design.add(f"{name} {variant}", task, names, weights_after=WEIGHTS_AFTER)


def add_own_optimizer_probes(design: Design, updates: int) -> None:
    """Add the optimizer of the task on a small network: plain, and with all variants.

    The latter lasts at least `updates` updates, as many as the training of the run.
    """
    task = shrink(design.task)
    design.draw_small_weights(task)
    # Large gradients first: the second moment of Adam then falls, which that of AMSGrad does not.
    scales = [LARGE] * LARGE_FIRST + [SMALLER * SCALES[number % 4] for number in range(LONG_STEPS - LARGE_FIRST)]
    names = design.draw_batches("long", [FEW_SAMPLES] * LONG_STEPS, task, scales)
    design.add(f"{OWN} plain", task, names, start=SMALL, weights_after=LONG_WEIGHTS_AFTER)
    add_late_probe(design, task, names, min(updates, MOST_LATE_STEPS))


def add_late_probe(design: Design, task: Task, names: list[str], updates: int) -> None:
    """Add a training of at least `updates` updates, with looks to the end and a checkpoint before the last of them.

    The first batches are those with `names`; later ones are drawn from them. Every call has the same odd number of
    batches, which is drawn, so that a mistake in every 2nd or 150th update does not fall on the looks, and a compiler
    meets one length only. Without a ReLU there are no ties, and rounding does not grow.
    """
    least = max(FEWEST_IN_CALL, updates // LATE_CALLS)
    size = 2 * int(design.generator.integers(least // 2, least)) + 1
    calls = max(2, math.ceil((updates - LONG_STEPS) / size))
    total = LONG_STEPS + calls * size
    later = design.generator.integers(LARGE_FIRST, LONG_STEPS, total - LONG_STEPS)
    changed = replace(task, layers=tuple(layer for layer in task.layers if not isinstance(layer, ReLU)))
    changed = combine_variants(changed, design.find_limit(changed, names))
    changed = replace(changed, schedule=StepSchedule(every=total // LATE_DROPS, gamma=0.9))
    design.add(
        f"{OWN} all variants",
        changed,
        [*names, *(names[number] for number in later)],
        start=SMALL,
        weights_after=(*LONG_WEIGHTS_AFTER, *range(LONG_STEPS + size, total + 1, size)),
        saved_after=total - size,
    )


def add_network_probe(design: Design, epoch_steps: int) -> None:
    """Add the network and the optimizer of the task with all variants, in the calls of a measured job: two epochs.

    A checkpoint is saved after the first.
    """
    optimizer = condition(design.task.optimizer)
    if design.task.has(MaxPool2D, BatchNorm):
        optimizer = replace(optimizer, rate=optimizer.rate * SLOW_NETWORK)
    steps = min(max(OWN_STEPS[0], epoch_steps), OWN_STEPS[1])
    names = design.draw_batches("own", [FEW_SAMPLES] * 2 * steps, design.task)
    names[-2] = names[steps]  # the same batch twice in a call
    limit = design.find_limit(design.task, names[: 2 * len(SCALES)])
    changed = combine_variants(replace(design.task, optimizer=optimizer), limit)
    looks = (1, 2, steps, 2 * steps)
    design.add("own network, all variants", changed, names, weights_after=looks, saved_after=steps)


def add_epoch_probe(design: Design, data: Arrays) -> None:
    """Add the first epoch of real data in the calls of a measured job, and the second one where training is stable.

    In real data a flat background makes the four values of a pooling window equal up to rounding, which then decides
    where the gradient goes, in each framework differently. For a network with pooling, noise on the data makes the
    largest value unambiguous.
    """
    task, x, y = design.task, data["x_train"], data["y_train"]
    noise = NOISE if has_pooling(task) else 0.0
    rows = list(data["order"][0][:MOST_EPOCH_STEPS])
    weights_after = [updates for updates in (1, 2) if updates < len(rows)] + [len(rows)]
    if is_stable(task) and len(data["order"]) > 1 and len(rows) == len(data["order"][1]):
        rows += list(data["order"][1])
        weights_after.append(len(rows))
    names = [f"epoch{number}" for number in range(len(rows))]
    for name, chosen in zip(names, rows):
        inputs = x[chosen]
        if noise:
            inputs = inputs + noise * design.generator.normal(size=inputs.shape).astype(np.float32)
        design.arrays[f"{name}/x"] = inputs
        design.arrays[f"{name}/y"] = y[chosen]
    slow = slow_down(task, SLOW_NETWORK if has_pooling(task) else SLOW_EPOCH)
    design.add(EPOCH, slow, names, start=INITIAL, weights_after=tuple(weights_after), outputs=True)
