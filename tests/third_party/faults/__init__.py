"""A real backend with one mistake made on purpose, of the kind that people make; the task's name says which.

`lstm+gates_swapped` is the task `lstm` in the backend that $FAULTS_WRAP names, its gates in the wrong order. What the
framework itself cannot be made to do wrong from outside is done to what goes in and out of it.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np

from crossframe.tasks.spec import SGD, Adam, Arrays, Task

HONEST = import_module(os.environ["FAULTS_WRAP"])
MODES, DIALECT = HONEST.MODES, HONEST.DIALECT


def prepare(task: Task, weights: Arrays, device: str, mode: str, precision: str) -> Any:
    name, _, fault = task.name.partition("+")
    clean = replace(task, name=name)
    if not fault:
        return HONEST.prepare(clean, weights, device, mode, precision)

    def honest(task: Task, weights: Arrays) -> Any:
        return HONEST.prepare(task, weights, device, mode, precision)

    return FAULTS[fault](honest, clean, weights)


class Around:
    """An honest model; a fault overrides what it spoils."""

    def __init__(self, honest: Callable[[Task, Arrays], Any], task: Task, weights: Arrays):
        self.honest, self.task = honest, task
        self.model = honest(task, weights)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)


def altered(change: Callable[[Task], Task]) -> Callable[..., Any]:
    """The backend trains another task than the one it was given."""
    return lambda honest, task, weights: honest(change(task), weights)


def scaled_loss(factor: float) -> Callable[..., Any]:
    """The same as a loss times `factor`: an adaptive step cares only for epsilon's size beside the gradient."""

    def change(task: Task) -> Task:
        settings: Any = replace(task.optimizer, weight_decay=task.optimizer.weight_decay / factor)
        if isinstance(settings, SGD):
            settings = replace(settings, rate=settings.rate * factor)
        else:
            settings = replace(settings, epsilon=settings.epsilon / factor)
        return replace(task, optimizer=settings, clip_norm=task.clip_norm and task.clip_norm / factor)

    return altered(change)


def setting(name: str, factor: float) -> Callable[..., Any]:
    def change(task: Task) -> Task:
        if not hasattr(task.optimizer, name):
            return task
        return replace(task, optimizer=replace(task.optimizer, **{name: getattr(task.optimizer, name) * factor}))

    return altered(change)


def relaid(there: Callable[[str, np.ndarray], np.ndarray], back: Callable[[str, np.ndarray], np.ndarray]) -> Any:
    """Weights laid out wrongly on the way in and back again on the way out, so that a round trip shows nothing."""

    class Relaid(Around):
        def __init__(self, honest: Any, task: Task, weights: Arrays):
            super().__init__(honest, task, {name: there(name, value) for name, value in weights.items()})

        def weights(self) -> Arrays:
            return {name: back(name, value) for name, value in self.model.weights().items()}

    return Relaid


def swap_gates(name: str, value: np.ndarray) -> np.ndarray:
    if not name.startswith("lstm"):
        return value
    i, f, g, o = np.split(value, 4, axis=-1)
    return np.concatenate([i, g, f, o], axis=-1)


def transpose_kernel(name: str, value: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(value.swapaxes(2, 3)) if name.startswith("conv") and name.endswith("w") else value


def reorder_rows(forward: bool) -> Callable[[str, np.ndarray], np.ndarray]:
    """The first Dense after a Flatten, its rows in channels-last order (of 4 channels)."""

    def change(name: str, value: np.ndarray) -> np.ndarray:
        if name != "dense1.w":
            return value
        order = np.arange(len(value)).reshape(4, -1).T.ravel()
        return value[order] if forward else value[np.argsort(order)]

    return change


def spoilt_input(change: Callable[[np.ndarray], np.ndarray]) -> Any:
    class Spoilt(Around):
        def put(self, x: np.ndarray, y: np.ndarray) -> Any:
            return self.model.put(change(x), y)

        def predict(self, x: np.ndarray) -> np.ndarray:
            return self.model.predict(change(x))

    return Spoilt


def drop(x: np.ndarray) -> np.ndarray:
    kept = np.random.default_rng(5).random(x.shape) < 0.9
    return (x * kept / 0.9).astype(x.dtype)


class SecondBias(Around):
    """Two biases with equal gradients: their sum moves twice as far."""

    def train(self, batches: Any) -> None:
        before = self.model.weights()
        self.model.train(batches)
        after = self.model.weights()
        doubled = {
            name: 2 * value - before[name] if name.startswith("lstm") and name.endswith(".b") else value
            for name, value in after.items()
        }
        self.model = self.honest(self.task, doubled)


class Decoupled(Around):
    """Weight decay applied to the weights beside the step, as AdamW does."""

    def __init__(self, honest: Any, task: Task, weights: Arrays):
        settings = task.optimizer
        self.shrink = settings.rate * settings.weight_decay if isinstance(settings, Adam) else 0.0
        if self.shrink:
            task = replace(task, optimizer=replace(settings, weight_decay=0.0))
        super().__init__(honest, task, weights)

    def train(self, batches: Any) -> None:
        before = self.model.weights()
        self.model.train(batches)
        if self.shrink:
            after = self.model.weights()
            self.model = self.honest(self.task, {name: after[name] - self.shrink * before[name] for name in after})


class Shifted(Around):
    """Every batch is trained on one step too late."""

    late: Any = None

    def train(self, batches: Any) -> None:
        for batch in batches:
            self.model.train([batch if self.late is None else self.late])
            self.late = batch


class Forgetting(Around):
    """Every update starts with a new optimizer."""

    def train(self, batches: Any) -> None:
        for batch in batches:
            self.model.train([batch])
            self.model = self.honest(self.task, self.model.weights())


class NotLoaded(Around):
    """One parameter keeps what it was made with."""

    def __init__(self, honest: Any, task: Task, weights: Arrays):
        name = next(name for name in weights if name.endswith(".b"))
        super().__init__(honest, task, {**weights, name: weights[name] + np.float32(0.01)})


class NoBarrier(Around):
    def sync(self) -> None:
        pass


class SumsReordered(Around):
    """No fault on a GPU: the samples of a batch, and so all sums over them, come in another order every time."""

    def put(self, x: np.ndarray, y: np.ndarray) -> Any:
        order = np.random.default_rng().permutation(len(x))
        return self.model.put(x[order], y[order])


class Unseeded(Around):
    """What goes in differs from run to run by a thousandth."""

    def put(self, x: np.ndarray, y: np.ndarray) -> Any:
        noise = np.random.default_rng().normal(size=x.shape)
        return self.model.put((x * (1 + 1e-3 * noise)).astype(x.dtype), y)


FAULTS: dict[str, Callable[..., Any]] = {
    "gates_swapped": relaid(swap_gates, swap_gates),
    "second_bias_trained": SecondBias,
    "kernel_transposed": relaid(transpose_kernel, transpose_kernel),
    "padding_off_by_one": spoilt_input(lambda x: np.concatenate([x[..., 1:], 0 * x[..., :1]], axis=-1)),
    "loss_halved": scaled_loss(0.5),
    "loss_summed": scaled_loss(16.0),
    "epsilon_changed": setting("epsilon", 10.0),
    "momentum_changed": setting("momentum", 0.9),
    "decay_decoupled": Decoupled,
    "decay_missing": setting("weight_decay", 0.0),
    "rate_off_by_1_percent": setting("rate", 1.01),
    "clipping_left_out": altered(lambda task: replace(task, clip_norm=None)),
    "schedule_left_out": altered(lambda task: replace(task, schedule=None)),
    "state_forgotten": Forgetting,
    "flatten_order_wrong": relaid(reorder_rows(True), reorder_rows(False)),
    "dropout_left_on": spoilt_input(drop),
    "batches_shifted_by_one": Shifted,
    "weight_not_loaded": NotLoaded,
    "lower_precision": spoilt_input(lambda x: x.astype(np.float16).astype(x.dtype)),
    "no_op_barrier": NoBarrier,
    "sums_reordered": SumsReordered,
    "unseeded": Unseeded,
}
