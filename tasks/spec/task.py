"""A task: a network, its data and its training."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from crossframe.tasks.spec.layers import Arrays, Layer, Shape
from crossframe.tasks.spec.training import QUALITY, EarlyStopping, Loss, Normalization, Optimizer, StepSchedule


@dataclass(frozen=True)
class Task:
    """A network, the data that it learns from, and its training.

    Losses are means over the batch (mean squared error also over the outputs), taken on logits. One update is, in
    this order: gradient of the mean loss; clipping to `clip_norm` (L2, over all parameters together); L2 decay,
    g + weight_decay * w, for every parameter, biases too; the optimizer, at the rate that `schedule` gives.
    """

    name: str
    data: str  # a name in crossframe.tasks.data; the option --data replaces it
    input_shape: Shape
    layers: tuple[Layer, ...]
    loss: Loss
    optimizer: Optimizer
    epochs: int
    target: float  # the quality (see QUALITY) that defines time_to_target_s
    batch_size: int = 64
    normalization: Normalization = "standard"
    schedule: StepSchedule | None = None
    clip_norm: float | None = None
    early_stopping: EarlyStopping | None = None
    evaluate_every: int = 1  # epochs
    baseline: Literal["pca"] | None = None  # a method without training, reported for comparison

    def walk(self) -> Iterator[tuple[str, Layer, Shape]]:
        """Yield (name, layer, input shape) of each layer in order; ValueError if a layer does not fit."""
        counts: dict[str, int] = {}
        shape = self.input_shape
        for layer in self.layers:
            counts[layer.kind] = counts.get(layer.kind, 0) + 1
            yield f"{layer.kind}{counts[layer.kind]}", layer, shape
            shape = layer.output_shape(shape)

    def output_shape(self) -> Shape:
        """Return the shape of one sample's output."""
        shape = self.input_shape
        for _, layer, shape in self.walk():
            shape = layer.output_shape(shape)
        return shape

    def parameters(self) -> dict[str, Shape]:
        """Return full parameter name -> shape, in the order of the layers."""
        return {
            f"{name}.{short}": size
            for name, layer, shape in self.walk()
            for short, size in layer.parameters(shape).items()
        }

    def flops(self) -> int:
        """Return the floating-point operations of one sample's forward pass: 2 for each use of a weight.

        Other operations are not counted. Training takes three times as many: forward, and the gradients of weights
        and of inputs.
        """
        return 2 * sum(
            layer.uses(shape) * math.prod(layer.parameters(shape)[short])
            for _, layer, shape in self.walk()
            for short in layer.fans(shape)
        )

    @property
    def quality(self) -> str:
        """The name of the metric of quality."""
        return QUALITY[self.loss][0]


def initial_weights(task: Task, seed: int) -> Arrays:
    """Return parameter name -> float32 array: uniform by Glorot and Bengio 2010, equation 16; biases zero."""
    generator = np.random.default_rng(seed)
    weights = {}
    for name, layer, shape in task.walk():
        fans = layer.fans(shape)
        for short, size in layer.parameters(shape).items():
            bound = math.sqrt(6 / sum(fans[short])) if short in fans else 0.0
            weights[f"{name}.{short}"] = generator.uniform(-bound, bound, size).astype(np.float32)
    return weights
