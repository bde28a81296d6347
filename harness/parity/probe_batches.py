"""The batches and weights of probes, drawn so that what a probe looks for shows, and rounding does not.

Biases are not zero; batches differ in scale, so that their order matters; samples that bring a ReLU or a pooling window
next to a tie are not used; a limit of clipping lies in the middle of the gradient norms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import crossframe.backends.reference.model as reference
from crossframe.backends.reference.layers import split_tiles
from crossframe.harness.worker.probes import INITIAL, Probe, select_start
from crossframe.tasks.spec import (
    Arrays,
    BatchNorm,
    LeakyReLU,
    MaxPool2D,
    ReLU,
    Task,
    initial_weights,
)

BIAS = 0.2  # standard deviation of the biases
# Factors of the batches in turn. They differ, so that the order of batches shows and clipping meets all sizes.
SCALES = (1.5, 0.25, 1.0, 0.5)
CANDIDATES = 3  # for each sample of a network with ties
TIES = (ReLU, LeakyReLU, MaxPool2D)  # layers in which rounding can decide where a gradient goes
BIASED, STEEP, SMALL = "biased", "steep", "small"  # sets of weights


@dataclass
class Design:
    """The probes of a task, and the arrays that they need: batches, and the sets of weights."""

    task: Task
    generator: np.random.Generator
    arrays: Arrays
    probes: list[Probe]

    def draw_biases(self) -> None:
        """Add the initial weights of the run with noise on all that start alike: biases, scales and running statistics.

        Weights of products stay as they are.
        """
        for name, layer, shape in self.task.walk_leaves():
            for short, size in (layer.parameters(shape) | layer.buffers(shape)).items():
                if short not in layer.fans(shape):
                    noise = BIAS * self.generator.normal(size=size)
                    biased = self.arrays[f"{INITIAL}/{name}.{short}"] + noise
                    # A variance is positive, and far enough from zero that its root is well conditioned.
                    biased = np.maximum(biased, 0.5) if short == "variance" else biased
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
        # With batch normalization, how far a sample is from a tie depends on the samples beside it.
        has_ties = task.has(*TIES) and not task.has(BatchNorm)
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
    for _, layer, values, _ in model.trace_layers(x):
        distance = None
        if isinstance(layer, ReLU | LeakyReLU):
            distance = np.abs(np.where(values == 0, np.inf, values))
        elif isinstance(layer, MaxPool2D):
            first, second = np.partition(split_tiles(values, layer.size), -2, axis=-1)[..., :-3:-1].swapaxes(0, -1)[:2]
            distance = np.where(first == second, np.inf, first - second).swapaxes(0, -1)
        if distance is not None:
            margins = np.minimum(margins, distance.reshape(len(x), -1).min(axis=1) / np.abs(values).max())
    return margins
