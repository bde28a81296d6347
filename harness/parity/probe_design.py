"""The probes of a task: small trainings whose traces are compared with those of the reference model.

A probe runs in the backend's own process and in the reference model, and leaves the same arrays in both
(`crossframe.harness.worker.probes`); `crossframe.harness.parity.checks` compares them.

Probes are made so that what they look for shows, and rounding does not: biases are not zero, batches differ in size and
scale, so that their order matters; samples that bring a ReLU or a pooling window next to a tie are not used; a limit of
clipping lies in the middle of the gradient norms. tests/unit/parity/test_probe_design.py holds each of these.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import crossframe.backends.reference.model as reference
from crossframe.backends.reference.layers import split_tiles
from crossframe.harness.worker.probes import EPOCH, INITIAL, Probe, select_start
from crossframe.tasks.spec import (
    LSTM,
    SGD,
    AdaGrad,
    Adam,
    Arrays,
    Dense,
    Layer,
    MaxPool2D,
    Optimizer,
    ReLU,
    RMSProp,
    StepSchedule,
    Task,
    initial_weights,
)

SAMPLES = 16  # in a drawn batch
FEW_SAMPLES = 4  # in each of many batches
ODD_SAMPLES = (5, 1, 5)  # incomplete batches, and one of one sample between two of another size
STEPS = 20
WEIGHTS_AFTER = (1, 2, STEPS)  # the first update shows the rule, the next the state of the optimizer; then many a call
LONG_STEPS = 128
LONG_WEIGHTS_AFTER = (1, 2, STEPS, LONG_STEPS)
OWN_STEPS = (4, 12)  # least and most updates in each long call of the probe of the task's own network
MOST_EPOCH_STEPS = 64  # of the first epoch; at small batch sizes an epoch has thousands
PREDICTED_ROWS = (1, 64, 257, 1000)
DISTINCT_ROWS = 64  # which the predictions repeat
STEEPEST = 200.0  # the largest logit of the probe of steep logits; the median is near 50
DECAY = 0.05
BIAS = 0.2  # standard deviation of the biases
NOISE = 0.3  # on real data before pooling; the standard deviation of the data is about 1
# Factors of the batches in turn. They differ, so that the order of batches shows and clipping meets all sizes.
SCALES = (1.5, 0.25, 1.0, 0.5)
LARGE_FIRST, LARGE, SMALLER = 8, 5.0, 0.4  # batches of a long probe that are larger than later ones, and their factors
CANDIDATES = 3  # for each sample of a network with ties
OWN = "own optimizer"  # begins the names of its probes on a small network
BIASED, STEEP, SMALL = "biased", "steep", "small"  # sets of weights

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
MANY_TIES = 100
SLOW_EPOCH, SLOW_POOLING = 0.1, 0.03  # shares of the rate
LEAST_EPSILON = 1e-4  # in the task's own network, where some gradients are next to zero


def is_optimizer_probe(probe: Probe) -> bool:
    """Return whether a probe is about an optimizer, by its name, on the smallest network or on a small one."""
    return probe.name.startswith(OWN) or probe.name.partition(" ")[0] in OPTIMIZERS


def name_optimizer(optimizer: Optimizer) -> str:
    """Return the name in `OPTIMIZERS` of the rule that an optimizer follows, whatever its settings."""
    if isinstance(optimizer, SGD):
        return "momentum" if optimizer.momentum else "sgd"
    return type(optimizer).__name__.lower()


def has_pooling(task: Task) -> bool:
    """Return whether the network has a pooling layer."""
    return any(isinstance(layer, MaxPool2D) for layer in task.layers)


def is_stable(task: Task) -> bool:
    """Return whether training on real data hardly amplifies rounding, and the reference model is fast."""
    return not any(isinstance(layer, (MaxPool2D, LSTM)) for layer in task.layers)


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
    """Return the number of ReLU inputs and pooling windows of a sample, each of which rounding may decide."""
    return sum(
        math.prod(layer.output_shape(shape)) for _, layer, shape in task.walk() if isinstance(layer, (ReLU, MaxPool2D))
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


@dataclass
class Design:
    """The probes of a task, and the arrays that they need: batches, and the sets of weights."""

    task: Task
    generator: np.random.Generator
    arrays: Arrays
    probes: list[Probe]

    def draw_biases(self) -> None:
        """Add the initial weights of the run with biases that are not zero; weights of products stay as they are."""
        for name, layer, shape in self.task.walk():
            for short, size in layer.parameters(shape).items():
                if short not in layer.fans(shape):
                    noise = BIAS * self.generator.normal(size=size)
                    biased = self.arrays[f"{INITIAL}/{name}.{short}"] + noise
                    self.arrays[f"{BIASED}/{name}.{short}"] = np.asarray(biased, np.float32)

    def draw_small_weights(self, task: Task) -> None:
        """Add the weights of the small network."""
        for name, value in initial_weights(task, int(self.generator.integers(2**31))).items():
            noise = 0.0 if value.any() else BIAS * self.generator.normal(size=value.shape)
            self.arrays[f"{SMALL}/{name}"] = np.asarray(value + noise, np.float32)

    def select_weights(self, task: Task) -> Arrays:
        """Return the weights with which batches for a network are chosen: those of the task, or of the small one."""
        part = self.task.layers[: len(task.layers)]
        return select_start(self.arrays, Probe("", task, (), start=BIASED if task.layers == part else SMALL))

    def draw_batches(self, name: str, sizes: Sequence[int], task: Task, scales: Sequence[float] = SCALES) -> list[str]:
        """Add batches of noise and return their names. Of several candidates they take the samples furthest from ties.

        `name` begins the names; `scales` are factors of the inputs, which the batches take in turn.
        """
        has_ties = any(isinstance(layer, (ReLU, MaxPool2D)) for layer in task.layers)
        weights, names = self.select_weights(task), []
        for number, size in enumerate(sizes):
            count = size * CANDIDATES if has_ties else size
            scale = scales[number % len(scales)]
            x = (scale * self.generator.normal(size=(count, *task.input_shape))).astype(np.float32)
            if has_ties:
                margins = tie_margins(task, weights, x)
                x = x[np.sort(np.argsort(-margins)[:size])]
            names.append(f"{name}{number}")
            self.arrays[f"{names[-1]}/x"] = x
            self.arrays[f"{names[-1]}/y"] = self.draw_targets(task, size, scale)
        return names

    def draw_targets(self, task: Task, size: int, scale: float) -> np.ndarray:
        """Return labels (size,) or targets (size, *output_shape)."""
        shape = task.output_shape()
        if task.loss == "mean_squared_error":
            return (scale * self.generator.normal(size=(size, *shape))).astype(np.float32)
        return self.generator.integers(0, 2 if task.loss == "binary_cross_entropy" else shape[0], size)

    def find_limit(self, task: Task, names: Sequence[str]) -> float:
        """Return a limit that the gradient norms of about half of the batches exceed, at the initial weights."""
        model = reference.prepare(task, self.select_weights(task), "cpu")
        norms = []
        for name in names:
            gradients = model.gradients(*model.put(self.arrays[f"{name}/x"], self.arrays[f"{name}/y"]))
            norms.append(float(np.sqrt(sum(float((gradient**2).sum()) for gradient in gradients.values()))))
        middle = sorted(norms)[(len(norms) - 1) // 2 : len(norms) // 2 + 1]
        return float(f"{np.sqrt(middle[0] * middle[-1]):.3g}")

    def add(self, name: str, task: Task, batches: Sequence[str], start: str = BIASED, **settings: Any) -> None:
        """Add a probe."""
        self.probes.append(Probe(name, task, tuple(batches), start=start, **settings))


def tie_margins(task: Task, weights: Arrays, x: np.ndarray) -> np.ndarray:
    """Return for each sample how far it is from a tie, relative to the largest input of the layer: (samples,)."""
    model = reference.Model(task, weights, np.dtype("float32"), {})
    margins = np.full(len(x), np.inf)
    values = x
    for (_, layer, _), outputs in zip(task.walk(), model.outputs(x)):
        distance = None
        if isinstance(layer, ReLU):
            distance = np.abs(np.where(values == 0, np.inf, values))
        elif isinstance(layer, MaxPool2D):
            first, second = np.partition(split_tiles(values, layer.size), -2, axis=-1)[..., :-3:-1].swapaxes(0, -1)[:2]
            distance = np.where(first == second, np.inf, first - second).swapaxes(0, -1)
        if distance is not None:
            margins = np.minimum(margins, distance.reshape(len(x), -1).min(axis=1) / np.abs(values).max())
        values = outputs
    return margins


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
    add_own_optimizer_probes(design)
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


def add_own_optimizer_probes(design: Design) -> None:
    """Add the optimizer of the task over many updates, on a small network: plain, and with all variants."""
    task = shrink(design.task)
    design.draw_small_weights(task)
    # Large gradients first: the second moment of Adam then falls, which that of AMSGrad does not.
    scales = [LARGE] * LARGE_FIRST + [SMALLER * SCALES[number % 4] for number in range(LONG_STEPS - LARGE_FIRST)]
    names = design.draw_batches("long", [FEW_SAMPLES] * LONG_STEPS, task, scales)
    limit = design.find_limit(task, names)
    for variant, change in VARIANTS.items():
        changed = change(task, limit)
        design.add(f"{OWN} {variant}", changed, names, start=SMALL, weights_after=LONG_WEIGHTS_AFTER)


def add_network_probe(design: Design, epoch_steps: int) -> None:
    """Add the network and the optimizer of the task with all variants, in the calls of a measured job: two epochs.

    A checkpoint is saved after the first.
    """
    optimizer = condition(design.task.optimizer)
    if has_pooling(design.task):
        optimizer = replace(optimizer, rate=optimizer.rate * SLOW_POOLING)
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
    slow = slow_down(task, SLOW_POOLING if has_pooling(task) else SLOW_EPOCH)
    design.add(EPOCH, slow, names, start=INITIAL, weights_after=tuple(weights_after), outputs=True)
