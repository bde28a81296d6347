"""The means by which mistakes are made: around a correct model, in its task, in its inputs, or in its updates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from crossframe.backends.contract import Batch, Model
from crossframe.backends.reference import optimizers as rules
from crossframe.tasks.spec import SGD, Arrays, Task

from .frameworks import FRAMEWORKS, find_dialect, forget, set_weights


@dataclass(frozen=True)
class Prepare:
    """The `prepare` of the correct backend for one device, mode and precision.

    With `reuses`, one model of each task serves all mistakes of a process, one after another, reset to its start:
    TensorFlow needs a second to trace a new one.
    """

    backend: Any
    device: str
    mode: str
    precision: str
    reuses: bool = False

    models: ClassVar[dict[tuple[Task, str, str], Model]] = {}

    def __call__(self, task: Task, weights: Arrays) -> Model:
        """Return the correct model of a task, which no other mistake uses any longer."""
        if not self.reuses or self.precision == "float16":
            return self.fresh(task, weights)
        key = (task, self.mode, self.precision)
        if key not in self.models:
            self.models[key] = self.fresh(task, weights)
        model = self.models[key]
        forget(model)
        set_weights(model, weights)
        return model

    def fresh(self, task: Task, weights: Arrays) -> Model:
        """Return a new correct model."""
        model: Model = self.backend.prepare(task, weights, self.device, self.mode, self.precision)
        return model


Mistake = Callable[[Prepare, Task, Arrays], Any]  # makes a model with a mistake


class Entry(NamedTuple):
    """A mistake of the catalogue."""

    make: Mistake
    sentence: str
    tasks: tuple[str, ...] = ("circle",)  # in which it changes the result
    looks: tuple[str, ...] = ()  # probes that see it best; the others are tried if these do not
    frameworks: tuple[str, ...] = FRAMEWORKS
    mode: str | None = None  # of execution; None: the default
    precision: str = "float32"
    alone: bool = False  # a matter of the whole process: only a measured job can show it
    everywhere: bool = False  # on all processors, not on one
    gains: tuple[str, ...] = ()  # where it is no mistake but a trick: the measurements that it is to make faster


class Wrapper:
    """A correct model; subclasses replace a part of it."""

    def __init__(self, prepare_correct: Prepare, task: Task, weights: Arrays) -> None:
        self.prepare_correct, self.task, self.start = prepare_correct, task, weights
        self.model = prepare_correct(task, weights)
        self.set_up()

    def set_up(self) -> None:
        """Make what the mistake needs; `self.model` exists."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)


def call_after(name: str, change: Callable[..., Any]) -> Mistake:
    """Return a mistake that calls `change(wrapper, model, *arguments)` in place of a method of the model."""

    def method(self: Wrapper, *arguments: Any) -> Any:
        return change(self, self.model, *arguments)

    return type("Replaced", (Wrapper,), {name: method})


def change_calls(select: Callable[[list[Batch]], Sequence[Batch]]) -> Mistake:
    """Return a mistake in the batches of each call of `train`."""
    return call_after("train", lambda self, model, batches: model.train(list(select(list(batches)))))


def change_task(change: Callable[[Task], Task]) -> Mistake:
    """Return a mistake that trains another task than the requested one."""
    return lambda prepare_correct, task, weights: prepare_correct(change(task), weights)


def change_settings(**changes: Callable[[float], float]) -> Mistake:
    """Return a mistake in settings of the optimizer, in optimizers that have them."""

    def change(task: Task) -> Task:
        settings: Any = task.optimizer
        values = {
            name: function(getattr(settings, name)) for name, function in changes.items() if hasattr(settings, name)
        }
        return replace(task, optimizer=replace(settings, **values))

    return change_task(change)


def change_input(change: Callable[[np.ndarray], np.ndarray], training: bool = True, predicting: bool = True) -> Mistake:
    """Return a mistake in the inputs of the network."""

    class WrongInput(Wrapper):
        def put(self, x: np.ndarray, y: np.ndarray) -> Batch:
            return self.model.put(change(x) if training else x, y)

        def predict(self, x: np.ndarray) -> np.ndarray:
            return self.model.predict(change(x) if predicting else x)

    return WrongInput


def change_batch(change: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]) -> Mistake:
    """Return a mistake in the batches that are put on the device."""
    return call_after("put", lambda self, model, x, y: model.put(*change(x, y)))


def change_outputs(change: Callable[[np.ndarray], np.ndarray]) -> Mistake:
    """Return a mistake in the results of `predict`."""
    return call_after("predict", lambda self, model, x: change(model.predict(x)))


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


class RawBatch(NamedTuple):
    """A batch on the host."""

    x: np.ndarray
    y: np.ndarray


class Updater(Wrapper):
    """The framework's gradients, and each update in NumPy by the formulas of the reference model.

    Without a change it is correct: mistakes replace one of its methods. One step of SGD at a large rate gives the
    gradient in full precision, as the difference of the weights divided by the rate.
    """

    RATE = 2.0**12

    def __init__(self, prepare_correct: Prepare, task: Task, weights: Arrays) -> None:
        plain = replace(task, optimizer=SGD(self.RATE), schedule=None, clip_norm=None)
        self.updates = 0
        self.state: dict[str, Arrays] = {name: {} for name in task.parameters()}
        super().__init__(prepare_correct, plain, weights)
        self.task = task
        self.dialect = find_dialect(self.model)

    def put(self, x: np.ndarray, y: np.ndarray) -> Batch:
        return RawBatch(x, y)

    def train(self, batches: Sequence[Batch]) -> None:
        for batch in batches:
            before = self.model.weights()
            gradients = self.gradients(*batch)
            set_weights(self.model, self.update(before, gradients))

    def gradient(self, x: np.ndarray, y: np.ndarray) -> Arrays:
        """Return the framework's gradient of the mean loss, and leave the weights as they are."""
        before = self.model.weights()
        self.model.train([self.model.put(x, y)])
        after = self.model.weights()
        set_weights(self.model, before)
        return {name: (before[name].astype(np.float64) - after[name]) / self.RATE for name in before}

    def gradients(self, x: np.ndarray, y: np.ndarray) -> Arrays:
        return self.gradient(x, y)

    def update(self, weights: Arrays, gradients: Arrays) -> Arrays:
        """Return the weights after an update, in the order of the spec: clipping, decay, step."""
        if self.task.clip_norm is not None:
            gradients = self.clip(gradients, self.task.clip_norm)
        update = rules.Update(self.number(), self.rate(), self.dialect)
        changed = {}
        for name, gradient in gradients.items():
            decayed = gradient + self.decay(name) * weights[name]
            changed[name] = weights[name] - self.step(name, update, decayed, self.state[name])
        self.updates += 1
        return changed

    def clip(self, gradients: Arrays, limit: float) -> Arrays:
        return rules.clip(gradients, limit, float(self.dialect.get("clip_epsilon", 0.0)))

    def number(self) -> int:
        return self.updates + 1

    def rate(self) -> float:
        return rules.scheduled_rate(self.task, self.updates)

    def decay(self, name: str) -> float:
        return rules.make_rounding(self.task.optimizer, self.dialect)(self.task.optimizer.weight_decay)

    def step(self, name: str, update: rules.Update, gradient: np.ndarray, state: Arrays) -> np.ndarray:
        settings = self.task.optimizer
        return rules.OPTIMIZERS[type(settings)](settings, update, gradient, state)

    def save(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        slots = {f"{name}/{slot}": value for name, state in self.state.items() for slot, value in state.items()}
        np.savez(path / "updater.npz", updates=np.array(self.updates), **slots)  # type: ignore[arg-type]
        self.model.save(path / "model")

    def load(self, path: Path) -> None:
        self.model.load(path / "model")
        with np.load(path / "updater.npz", allow_pickle=False) as stored:
            self.updates, self.state = int(stored["updates"]), {name: {} for name in self.state}
            for key in set(stored.files) - {"updates"}:
                name, slot = key.split("/")
                self.state[name][slot] = stored[key]


def change_update(**methods: Callable[..., Any]) -> Mistake:
    """Return a mistake in the methods of `Updater`: its gradients, clipping, decay, rate or step."""
    return type("Changed", (Updater,), dict(methods))
