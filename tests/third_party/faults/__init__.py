"""A real backend with one mistake made on purpose; the name of the task says which.

`lstm+gates_swapped` is the task `lstm` in the backend that $FAULTS_WRAP names, with its gates in the wrong order. What
cannot be done wrongly inside the framework is done to what goes into it and comes out of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np

from crossframe.backends.contract import Batch, Model
from crossframe.tasks.spec import SGD, Adam, Arrays, Task

CORRECT = import_module(os.environ["FAULTS_WRAP"])
MODES, DIALECT = CORRECT.MODES, CORRECT.DIALECT

Prepare = Callable[[Task, Arrays], Model]  # of the correct backend
Mistake = Callable[[Prepare, Task, Arrays], Any]  # makes a model with a mistake


def prepare(task: Task, weights: Arrays, device: str, mode: str, precision: str) -> Any:
    name, _, mistake = task.name.partition("+")

    def prepare_correct(task: Task, weights: Arrays) -> Model:
        model: Model = CORRECT.prepare(task, weights, device, mode, precision)
        return model

    task = replace(task, name=name)
    return MISTAKES[mistake](prepare_correct, task, weights) if mistake else prepare_correct(task, weights)


class Wrapper:
    """A correct model; subclasses replace a part of it."""

    def __init__(self, prepare_correct: Prepare, task: Task, weights: Arrays) -> None:
        self.prepare_correct, self.task = prepare_correct, task
        self.model = prepare_correct(task, weights)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)


def change_task(change: Callable[[Task], Task]) -> Mistake:
    """Return a mistake that trains another task than the requested one."""
    return lambda prepare_correct, task, weights: prepare_correct(change(task), weights)


def scale_loss(factor: float) -> Mistake:
    """Return a mistake with the effect of a loss times `factor`.

    In an adaptive optimizer it only changes the size of epsilon relative to the gradient.
    """

    def change(task: Task) -> Task:
        settings: Any = replace(task.optimizer, weight_decay=task.optimizer.weight_decay / factor)
        if isinstance(settings, SGD):
            settings = replace(settings, rate=settings.rate * factor)
        else:
            settings = replace(settings, epsilon=settings.epsilon / factor)
        return replace(task, optimizer=settings, clip_norm=task.clip_norm and task.clip_norm / factor)

    return change_task(change)


def scale_setting(name: str, factor: float) -> Mistake:
    """Return a mistake in one setting of the optimizer, in optimizers that have it."""

    def change(task: Task) -> Task:
        settings: Any = task.optimizer
        if not hasattr(settings, name):
            return task
        return replace(task, optimizer=replace(settings, **{name: getattr(settings, name) * factor}))

    return change_task(change)


def change_layout(
    on_input: Callable[[str, np.ndarray], np.ndarray], on_output: Callable[[str, np.ndarray], np.ndarray]
) -> Mistake:
    """Return a wrong layout of weights, undone on the way back, so that a round trip does not show it."""

    class WrongLayout(Wrapper):
        def __init__(self, prepare_correct: Prepare, task: Task, weights: Arrays) -> None:
            super().__init__(prepare_correct, task, {name: on_input(name, value) for name, value in weights.items()})

        def weights(self) -> Arrays:
            return {name: on_output(name, value) for name, value in self.model.weights().items()}

    return WrongLayout


def swap_gates(name: str, value: np.ndarray) -> np.ndarray:
    if not name.startswith("lstm"):
        return value
    i, f, g, o = np.split(value, 4, axis=-1)
    return np.concatenate([i, g, f, o], axis=-1)


def transpose_kernel(name: str, value: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(value.swapaxes(2, 3)) if name.startswith("conv") and name.endswith("w") else value


def reorder_rows(forward: bool) -> Callable[[str, np.ndarray], np.ndarray]:
    """Return a function that puts the rows of the first Dense after a Flatten into channels-last order (4 channels)."""

    def change(name: str, value: np.ndarray) -> np.ndarray:
        if name != "dense1.w":
            return value
        order = np.arange(len(value)).reshape(4, -1).T.ravel()
        return value[order] if forward else value[np.argsort(order)]

    return change


def change_input(change: Callable[[np.ndarray], np.ndarray]) -> Mistake:
    """Return a mistake in the inputs of the network."""

    class WrongInput(Wrapper):
        def put(self, x: np.ndarray, y: np.ndarray) -> Batch:
            return self.model.put(change(x), y)

        def predict(self, x: np.ndarray) -> np.ndarray:
            return self.model.predict(change(x))

    return WrongInput


def drop(x: np.ndarray) -> np.ndarray:
    mask = np.random.default_rng(5).random(x.shape) < 0.9
    return (x * mask / 0.9).astype(x.dtype)


class SecondBias(Wrapper):
    """Two biases with equal gradients: their sum moves twice as far."""

    def train(self, batches: Sequence[Batch]) -> None:
        before = self.model.weights()
        self.model.train(batches)
        after = self.model.weights()
        doubled = {
            name: 2 * value - before[name] if name.startswith("lstm") and name.endswith(".b") else value
            for name, value in after.items()
        }
        self.model = self.prepare_correct(self.task, doubled)


class DecoupledDecay(Wrapper):
    """Weight decay applied to the weights beside the step, as in AdamW."""

    def __init__(self, prepare_correct: Prepare, task: Task, weights: Arrays) -> None:
        settings = task.optimizer
        self.decay = settings.rate * settings.weight_decay if isinstance(settings, Adam) else 0.0
        if self.decay:
            task = replace(task, optimizer=replace(settings, weight_decay=0.0))
        super().__init__(prepare_correct, task, weights)

    def train(self, batches: Sequence[Batch]) -> None:
        before = self.model.weights()
        self.model.train(batches)
        if self.decay:
            after = self.model.weights()
            decayed = {name: after[name] - self.decay * before[name] for name in after}
            self.model = self.prepare_correct(self.task, decayed)


class ShiftedBatches(Wrapper):
    """Every batch is trained one step too late."""

    previous: Batch = None

    def train(self, batches: Sequence[Batch]) -> None:
        for batch in batches:
            self.model.train([batch if self.previous is None else self.previous])
            self.previous = batch


class ForgottenState(Wrapper):
    """Every update starts with a new optimizer."""

    def train(self, batches: Sequence[Batch]) -> None:
        for batch in batches:
            self.model.train([batch])
            self.model = self.prepare_correct(self.task, self.model.weights())


class WeightNotLoaded(Wrapper):
    """One parameter differs from the given one."""

    def __init__(self, prepare_correct: Prepare, task: Task, weights: Arrays) -> None:
        name = next(name for name in weights if name.endswith(".b"))
        super().__init__(prepare_correct, task, {**weights, name: weights[name] + np.float32(0.01)})


class NoBarrier(Wrapper):
    """A `sync` that does nothing."""

    def sync(self) -> None:
        pass


class ReorderedSums(Wrapper):
    """No mistake on a GPU: the samples of a batch, hence all sums over them, come in another order every time."""

    def put(self, x: np.ndarray, y: np.ndarray) -> Batch:
        order = np.random.default_rng().permutation(len(x))
        return self.model.put(x[order], y[order])


class Unseeded(Wrapper):
    """Inputs that differ from run to run by a thousandth."""

    def put(self, x: np.ndarray, y: np.ndarray) -> Batch:
        noise = np.random.default_rng().normal(size=x.shape)
        return self.model.put((x * (1 + 1e-3 * noise)).astype(x.dtype), y)


MISTAKES: dict[str, Mistake] = {
    "gates_swapped": change_layout(swap_gates, swap_gates),
    "second_bias_trained": SecondBias,
    "kernel_transposed": change_layout(transpose_kernel, transpose_kernel),
    "padding_off_by_one": change_input(lambda x: np.concatenate([x[..., 1:], 0 * x[..., :1]], axis=-1)),
    "loss_halved": scale_loss(0.5),
    "loss_summed": scale_loss(16.0),
    "epsilon_changed": scale_setting("epsilon", 10.0),
    "momentum_changed": scale_setting("momentum", 0.9),
    "decay_decoupled": DecoupledDecay,
    "decay_missing": scale_setting("weight_decay", 0.0),
    "rate_off_by_1_percent": scale_setting("rate", 1.01),
    "clipping_left_out": change_task(lambda task: replace(task, clip_norm=None)),
    "schedule_left_out": change_task(lambda task: replace(task, schedule=None)),
    "state_forgotten": ForgottenState,
    "flatten_order_wrong": change_layout(reorder_rows(True), reorder_rows(False)),
    "dropout_left_on": change_input(drop),
    "batches_shifted_by_one": ShiftedBatches,
    "weight_not_loaded": WeightNotLoaded,
    "lower_precision": change_input(lambda x: x.astype(np.float16).astype(x.dtype)),
    "no_op_barrier": NoBarrier,
    "sums_reordered": ReorderedSums,
    "unseeded": Unseeded,
}
