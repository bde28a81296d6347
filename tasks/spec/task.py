"""A task: a network, its data and its training."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from crossframe.tasks.spec.composition import chain_shape, walk_chain, walk_leaves
from crossframe.tasks.spec.layers import ONES, Arrays, Layer, Shape
from crossframe.tasks.spec.training import QUALITY, EarlyStopping, Loss, Normalization, Optimizer, Schedule


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
    schedule: Schedule | None = None
    clip_norm: float | None = None
    early_stopping: EarlyStopping | None = None
    evaluate_every: int = 1  # epochs
    baseline: Literal["pca"] | None = None  # a method without training, reported for comparison

    def walk(self) -> Iterator[tuple[str, Layer, Shape]]:
        """Yield (name, layer, input shape) of each layer in order; ValueError if a layer does not fit."""
        return walk_chain(self.layers, self.input_shape)

    def walk_leaves(self) -> Iterator[tuple[str, Layer, Shape]]:
        """Yield (name, layer, input shape) of each layer that holds no other layers, at any depth, in order."""
        return walk_leaves(self.layers, self.input_shape)

    def output_shape(self) -> Shape:
        """Return the shape of one sample's output."""
        return chain_shape(self.layers, self.input_shape)

    def parameters(self) -> dict[str, Shape]:
        """Return full parameter name -> shape, in the order of the layers."""
        return {
            f"{name}.{short}": size
            for name, layer, shape in self.walk()
            for short, size in layer.parameters(shape).items()
        }

    def buffers(self) -> dict[str, Shape]:
        """Return full buffer name -> shape, in the order of the layers."""
        return {
            f"{name}.{short}": size
            for name, layer, shape in self.walk()
            for short, size in layer.buffers(shape).items()
        }

    def arrays(self) -> dict[str, Shape]:
        """Return name -> shape of all arrays of the network: its parameters, then its buffers."""
        return self.parameters() | self.buffers()

    def has(self, *kinds: type) -> bool:
        """Return whether the network has a layer of one of these classes, at any depth."""
        return any(isinstance(layer, kinds) for _, layer, _ in self.walk_leaves())

    def flops(self) -> int:
        """Return the floating-point operations of one sample's forward pass: 2 for each use of a weight.

        Other operations are not counted. Training takes three times as many: forward, and the gradients of weights
        and of inputs.
        """
        return 2 * sum(
            count * math.prod(layer.parameters(shape)[short])
            for _, layer, shape in self.walk()
            for short, count in layer.uses(shape).items()
        )

    @property
    def quality(self) -> str:
        """The name of the metric of quality."""
        return QUALITY[self.loss][0]


def initial_weights(task: Task, seed: int) -> Arrays:
    """Return name -> float32 array of all parameters and buffers.

    Weights are uniform by Glorot and Bengio 2010, equation 16; biases are zero; scales and variances are one.
    """
    generator = np.random.default_rng(seed)
    weights: Arrays = {}
    for name, layer, shape in task.walk_leaves():
        fans = layer.fans(shape)
        for short, size in (layer.parameters(shape) | layer.buffers(shape)).items():
            if short in ONES:
                weights[f"{name}.{short}"] = np.ones(size, np.float32)
                continue
            bound = math.sqrt(6 / sum(fans[short])) if short in fans else 0.0
            weights[f"{name}.{short}"] = generator.uniform(-bound, bound, size).astype(np.float32)
    return weights
