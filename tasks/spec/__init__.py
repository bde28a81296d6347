"""The specification of tasks, independent of any framework.

A `Task` is plain, frozen data: layers, a loss, an optimizer and a training budget. It travels to a worker as JSON
(`to_json`, `from_json`), so a job contains its whole task and can be replayed with any later version of the tasks.

Layouts, the same for every backend (a backend converts at its own boundary):

* images are channels first, `(batch, channels, height, width)`; sequences are `(batch, steps, features)`;
* `Dense` w `(in, out)`, b `(out,)`;
* `Conv2D` w `(out, in / groups, height, width)`, b `(out,)`, a cross-correlation as in every framework;
* `BatchNorm` scale and shift `(channels,)`, and the buffers mean and variance `(channels,)`;
* `LSTM` w_x `(in, 4H)`, w_h `(H, 4H)`, ONE bias b `(4H,)`, gates in the order input, forget, cell, output.

Parameters are named by kind and number of their layer, `conv1.w`, `lstm2.w_h`: numbers count from 1, for each kind.
Layers can hold layers (`Residual`), and names follow the tree: `block2.conv1.w`. Buffers are arrays that training
changes without a gradient, such as running statistics.

CONTRIBUTING.md describes how to add a layer.
"""

from __future__ import annotations

from crossframe.tasks.spec.activations import ELU, GELU, LeakyReLU, ReLU, Sigmoid, SiLU, Softplus, Tanh
from crossframe.tasks.spec.composition import SHORTCUT, Residual, map_leaves, walk_chain
from crossframe.tasks.spec.images import Around, AveragePool2D, Conv2D, GlobalAveragePool, MaxPool2D
from crossframe.tasks.spec.json import from_json, to_json
from crossframe.tasks.spec.layers import LSTM, Arrays, Dense, Flatten, LastStep, Layer, Shape
from crossframe.tasks.spec.normalization import BatchNorm
from crossframe.tasks.spec.task import Task, initial_weights
from crossframe.tasks.spec.training import (
    QUALITY,
    SGD,
    AdaGrad,
    Adam,
    CosineSchedule,
    EarlyStopping,
    Loss,
    Normalization,
    Optimizer,
    RMSProp,
    Schedule,
    StepSchedule,
)

__all__ = [
    "ELU",
    "GELU",
    "LSTM",
    "QUALITY",
    "SGD",
    "SHORTCUT",
    "AdaGrad",
    "Adam",
    "Around",
    "Arrays",
    "AveragePool2D",
    "BatchNorm",
    "Conv2D",
    "CosineSchedule",
    "Dense",
    "EarlyStopping",
    "Flatten",
    "GlobalAveragePool",
    "LastStep",
    "Layer",
    "LeakyReLU",
    "Loss",
    "MaxPool2D",
    "Normalization",
    "Optimizer",
    "RMSProp",
    "ReLU",
    "Residual",
    "Schedule",
    "Shape",
    "SiLU",
    "Sigmoid",
    "Softplus",
    "StepSchedule",
    "Tanh",
    "Task",
    "from_json",
    "initial_weights",
    "map_leaves",
    "to_json",
    "walk_chain",
]
