"""The specification of tasks, independent of any framework.

A `Task` is plain, frozen data: layers, a loss, an optimizer and a training budget. It travels to a worker as JSON
(`to_json`, `from_json`), so a job contains its whole task and can be replayed with any later version of the tasks.

Layouts, the same for every backend (a backend converts at its own boundary):

* images are channels first, `(batch, channels, height, width)`; sequences are `(batch, steps, features)`;
* `Dense` w `(in, out)`, b `(out,)`;
* `Conv2D` w `(out, in, height, width)`, b `(out,)`, a cross-correlation as in every framework;
* `LSTM` w_x `(in, 4H)`, w_h `(H, 4H)`, ONE bias b `(4H,)`, gates in the order input, forget, cell, output.

Parameters are named by kind and number of their layer, `conv1.w`, `lstm2.w_h`: numbers count from 1, for each kind.

CONTRIBUTING.md describes how to add a layer.
"""

from __future__ import annotations

from crossframe.tasks.spec.json import from_json, to_json
from crossframe.tasks.spec.layers import (
    LSTM,
    Arrays,
    Conv2D,
    Dense,
    Flatten,
    LastStep,
    Layer,
    MaxPool2D,
    ReLU,
    Shape,
)
from crossframe.tasks.spec.task import Task, initial_weights
from crossframe.tasks.spec.training import (
    QUALITY,
    SGD,
    AdaGrad,
    Adam,
    EarlyStopping,
    Loss,
    Normalization,
    Optimizer,
    RMSProp,
    StepSchedule,
)

__all__ = [
    "LSTM",
    "QUALITY",
    "SGD",
    "AdaGrad",
    "Adam",
    "Arrays",
    "Conv2D",
    "Dense",
    "EarlyStopping",
    "Flatten",
    "LastStep",
    "Layer",
    "Loss",
    "MaxPool2D",
    "Normalization",
    "Optimizer",
    "RMSProp",
    "ReLU",
    "Shape",
    "StepSchedule",
    "Task",
    "from_json",
    "initial_weights",
    "to_json",
]
