"""Mistakes in residual networks: batch normalization, its running statistics, strides, and the cosine schedule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from crossframe.backends.contract import Batch
from crossframe.tasks import spec
from crossframe.tasks.spec import Arrays, Layer, Task, map_leaves

from .frameworks import find_dialect, set_weights
from .wrappers import Entry, Mistake, Prepare, Wrapper, change_settings, change_task

TASK = ("resnet",)
LOOKS = ("forward", "gradient")
TRAINED = ("gradient", "own network")
SCHEDULED = ("own optimizer plain",)


def change_layers(kind: type, change: Callable[[Any], Layer]) -> Mistake:
    """Return a mistake that builds the network with other layers in place of those of a class."""

    def replace_layers(task: Task) -> Task:
        layers = map_leaves(task.layers, lambda layer: change(layer) if isinstance(layer, kind) else layer)
        return replace(task, layers=layers)

    return change_task(replace_layers)


def change_schedule(**changes: Callable[[int], int]) -> Mistake:
    """Return a mistake in the cosine of the task; other schedules stay."""

    def change(task: Task) -> Task:
        schedule = task.schedule
        if not isinstance(schedule, spec.CosineSchedule):
            return task
        values = {name: function(getattr(schedule, name)) for name, function in changes.items()}
        return replace(task, schedule=replace(schedule, **values))

    return change_task(change)


def pad_at_end(layer: spec.Conv2D) -> spec.Conv2D:
    """Return the padding that TensorFlow calls "same" where the stride is 2."""
    if layer.stride == 1 or layer.padding != 1:
        return layer
    return replace(layer, padding=((0, 1), (0, 1)))


class ChangedStatistics(Wrapper):
    """Running statistics that each update changes otherwise."""

    def train(self, batches: Sequence[Batch]) -> None:
        for batch in batches:
            before = self.model.buffers()
            self.model.train([batch])
            after = self.model.buffers()
            set_weights(self.model, {name: self.change(name, before[name], after[name], batch) for name in after})

    def change(self, name: str, before: np.ndarray, after: np.ndarray, batch: Batch) -> np.ndarray:
        raise NotImplementedError


class OtherVariance(ChangedStatistics):
    """The running variance is biased where the dialect says unbiased, and the other way."""

    def set_up(self) -> None:
        self.layers = {name: (layer, shape) for name, layer, shape in self.task.walk_leaves()}

    def change(self, name: str, before: np.ndarray, after: np.ndarray, batch: Batch) -> np.ndarray:
        layer, shape = self.layers[name.rpartition(".")[0]]
        if not name.endswith("variance") or not isinstance(layer, spec.BatchNorm):
            return after
        count = int(batch[0].shape[0]) * shape[1] * shape[2]
        factor = count / (count - 1)
        if find_dialect(self.model).get("running_variance") == "unbiased":
            factor = 1 / factor
        kept = layer.momentum * before
        return np.asarray(kept + factor * (after - kept), after.dtype)


class FrozenStatistics(ChangedStatistics):
    """The running statistics stay those of the start."""

    def change(self, name: str, before: np.ndarray, after: np.ndarray, batch: Batch) -> np.ndarray:
        return before


class StatisticsNotLoaded(Wrapper):
    """The given running statistics are ignored."""

    def __init__(self, prepare_correct: Prepare, task: Task, weights: Arrays) -> None:
        start = spec.initial_weights(task, 0)
        super().__init__(prepare_correct, task, {**weights, **{name: start[name] for name in task.buffers()}})


class StatisticsNotRestored(Wrapper):
    """A checkpoint without the running statistics."""

    def load(self, path: Path) -> None:
        self.model.load(path)
        set_weights(self.model, {name: self.start[name] for name in self.task.buffers()})


class StatisticsReset(Wrapper):
    """The running statistics begin anew in each call of `train`."""

    def train(self, batches: Sequence[Batch]) -> None:
        set_weights(self.model, {name: self.start[name] for name in self.task.buffers()})
        self.model.train(batches)


class PredictsBySwapped(Wrapper):
    """`predict` takes the mean for the variance of the first normalization, and the other way."""

    def predict(self, x: np.ndarray) -> np.ndarray:
        kept = self.model.buffers()
        if not kept:  # a prefix without normalization
            return self.model.predict(x)
        set_weights(self.model, {"norm1.mean": kept["norm1.variance"], "norm1.variance": np.abs(kept["norm1.mean"])})
        outputs = self.model.predict(x)
        set_weights(self.model, kept)
        return outputs


class PredictsInTraining(Wrapper):
    """The network stays in the mode of training in `predict`, which also changes the running statistics."""

    def __init__(self, prepare_correct: Prepare, task: Task, weights: Arrays) -> None:
        self.task, self.start = task, weights
        model: Any = prepare_correct.fresh(task, weights)
        model.changes_in_use = False
        self.model = model


class PerSample(Wrapper):
    """The statistics are those of each sample: over the positions, not over the batch."""

    def __init__(self, prepare_correct: Prepare, task: Task, weights: Arrays) -> None:
        from torch import Tensor, nn
        from torch.nn import functional as F  # noqa: N812  # the usual name

        def forward(self: nn.BatchNorm2d, x: Tensor) -> Tensor:
            if not self.training:
                return nn.BatchNorm2d.forward(self, x)
            mean, variance = self.running_mean, self.running_var
            return F.instance_norm(x, mean, variance, self.weight, self.bias, True, self.momentum, self.eps)

        self.task, self.start = task, weights
        model: Any = prepare_correct.fresh(task, weights)
        self.model = model
        for module in model.network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.forward = forward.__get__(module)


TABLE: dict[str, Entry] = {
    "epsilon_1e-3": Entry(
        change_layers(spec.BatchNorm, lambda layer: replace(layer, epsilon=1e-3)),
        "batch normalization has an epsilon of 1e-3, as in Keras by default", TASK, LOOKS,
    ),
    "epsilon_1e-6": Entry(
        change_layers(spec.BatchNorm, lambda layer: replace(layer, epsilon=1e-6)),
        "batch normalization has an epsilon of 1e-6", TASK, LOOKS, precision="float64",
    ),
    "momentum_reversed": Entry(
        change_layers(spec.BatchNorm, lambda layer: replace(layer, momentum=1 - layer.momentum)),
        "the momentum of the running statistics is the share of the new batch", TASK, TRAINED,
    ),
    "momentum_0.99": Entry(
        change_layers(spec.BatchNorm, lambda layer: replace(layer, momentum=0.99)),
        "the momentum of the running statistics is 0.99, as in Keras by default", TASK, TRAINED,
    ),
    "variance_other": Entry(
        OtherVariance, "the running variance is biased, or unbiased, unlike declared", TASK, TRAINED
    ),
    "statistics_frozen": Entry(FrozenStatistics, "the running statistics are never updated", TASK, TRAINED),
    "statistics_not_loaded": Entry(StatisticsNotLoaded, "the given running statistics are ignored", TASK, LOOKS),
    "statistics_reset": Entry(StatisticsReset, "the running statistics begin anew in each call", TASK, TRAINED),
    "statistics_not_restored": Entry(
        StatisticsNotRestored, "a checkpoint lacks the running statistics", TASK, ("own network",)
    ),
    "statistics_swapped": Entry(PredictsBySwapped, "mean and variance are swapped in predictions", TASK, LOOKS),
    "predicts_in_training": Entry(
        PredictsInTraining, "predictions normalize by the statistics of their batch", TASK, LOOKS, ("torch",)
    ),
    "per_sample": Entry(PerSample, "the statistics are those of each sample", TASK, LOOKS, ("torch",)),
    "padding_at_end": Entry(
        change_layers(spec.Conv2D, pad_at_end), "convolutions with a stride of 2 pad at the end", TASK, LOOKS
    ),
    "gelu_for_silu": Entry(
        change_layers(spec.SiLU, lambda layer: spec.GELU(True)), "GELU in place of SiLU", TASK, LOOKS
    ),
    "nesterov_polyak": Entry(
        change_settings(nesterov=lambda value: False), "Polyak's momentum in place of Nesterov's", TASK, SCHEDULED
    ),
    "warm_up_late": Entry(
        change_schedule(warm_up=lambda count: count + 1), "the warm-up takes one update more", TASK, SCHEDULED
    ),
    "cosine_late": Entry(
        change_schedule(updates=lambda count: count + 1), "the cosine ends one update later", TASK, SCHEDULED
    ),
}  # fmt: skip
MISTAKES = {f"residual_{name}": entry for name, entry in TABLE.items()}
