"""Mistakes in the rule of an optimizer, its state, its rate, the decay and the clipping."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from crossframe.backends.reference import optimizers as rules
from crossframe.tasks.spec import SGD, AdaGrad, Adam, Arrays, RMSProp

from .wrappers import Entry, Mistake, Updater, change_settings, change_update

ALL = ("circle", "cnn", "lstm", "autoencoder")
ADAM, MOMENTUM = ("circle", "lstm", "autoencoder"), ("circle", "cnn")  # circle has the probes of all optimizers
Step = Callable[[Any, str, rules.Update, np.ndarray, Arrays], np.ndarray]


def change_step(kind: type, change: Step) -> Mistake:
    """Return a mistake in the step of one kind of optimizer."""

    def step(self: Updater, name: str, update: rules.Update, gradient: np.ndarray, state: Arrays) -> np.ndarray:
        if isinstance(self.task.optimizer, kind):
            return change(self, name, update, gradient, state)
        return Updater.step(self, name, update, gradient, state)

    return change_update(step=step)


def nesterov(self: Updater, name: str, update: rules.Update, g: np.ndarray, state: Arrays) -> np.ndarray:
    settings: Any = self.task.optimizer
    if not settings.momentum:
        return Updater.step(self, name, update, g, state)
    state["velocity"] = settings.momentum * state.get("velocity", np.zeros_like(g)) + g
    return np.asarray(update.rate * (g + settings.momentum * state["velocity"]))


def dampening(self: Updater, name: str, update: rules.Update, g: np.ndarray, state: Arrays) -> np.ndarray:
    settings: Any = self.task.optimizer
    state["velocity"] = settings.momentum * state.get("velocity", np.zeros_like(g)) + (1 - settings.momentum) * g
    return np.asarray(update.rate * state["velocity"])


def amsgrad(self: Updater, name: str, update: rules.Update, g: np.ndarray, state: Arrays) -> np.ndarray:
    """Adam with the largest second moment so far: Reddi et al. 2018."""
    plain = Updater.step(self, name, update, g, state)
    settings: Any = self.task.optimizer
    state["largest"] = np.maximum(state.get("largest", np.zeros_like(g)), state["v"])
    correction = 1 - settings.beta2**update.number
    epsilon = settings.epsilon / (
        np.sqrt(correction) if update.dialect.get("adam_epsilon") == "before_correction" else 1
    )
    ratio = (np.sqrt(state["v"] / correction) + epsilon) / (np.sqrt(state["largest"] / correction) + epsilon)
    return np.asarray(plain * ratio)


def without_correction(self: Updater, name: str, update: rules.Update, g: np.ndarray, state: Arrays) -> np.ndarray:
    return Updater.step(self, name, replace(update, number=10**9), g, state)


def second_moment_of_first(self: Updater, name: str, update: rules.Update, g: np.ndarray, state: Arrays) -> np.ndarray:
    step = Updater.step(self, name, update, g, state)
    state["v"] = state["v"] * 1.001
    return step


def rounded_state(self: Updater, name: str, update: rules.Update, g: np.ndarray, state: Arrays) -> np.ndarray:
    step = Updater.step(self, name, update, g, state)
    for slot, value in state.items():
        state[slot] = value.astype(np.float16).astype(np.float64)
    return step


def start_state(kind: type, slot: str, value: float) -> Mistake:
    """Return a mistake in the first value of a state array."""

    def change(self: Updater, name: str, update: rules.Update, g: np.ndarray, state: Arrays) -> np.ndarray:
        state.setdefault(slot, np.full_like(g, value))
        return Updater.step(self, name, update, g, state)

    return change_step(kind, change)


def centered(self: Updater, name: str, update: rules.Update, g: np.ndarray, state: Arrays) -> np.ndarray:
    settings: Any = self.task.optimizer
    state["mean"] = settings.decay * state.get("mean", np.zeros_like(g)) + (1 - settings.decay) * g**2
    state["first"] = settings.decay * state.get("first", np.zeros_like(g)) + (1 - settings.decay) * g
    return np.asarray(update.rate * g / (np.sqrt(state["mean"] - state["first"] ** 2 + 1e-12) + settings.epsilon))


def reset_every(updates: int) -> Mistake:
    """Return a mistake that starts a new state after so many updates."""

    def update(self: Updater, weights: Arrays, gradients: Arrays) -> Arrays:
        if self.updates and self.updates % updates == 0:
            self.state = {name: {} for name in self.state}
        return Updater.update(self, weights, gradients)

    return change_update(update=update)


class GradientsNotZeroed(Updater):
    """Gradients add up from update to update."""

    def update(self, weights: Arrays, gradients: Arrays) -> Arrays:
        total: Arrays = vars(self).setdefault("total", {})
        for name, gradient in gradients.items():
            total[name] = total.get(name, 0.0) + gradient
        return super().update(weights, dict(total))


class PreviousGradient(Updater):
    """Every update uses the gradient of the update before."""

    def update(self, weights: Arrays, gradients: Arrays) -> Arrays:
        previous = vars(self).get("previous", gradients)
        self.previous = gradients
        return super().update(weights, previous)


def scale_step(factor: Callable[[Any, str], float]) -> Mistake:
    """Return a mistake that multiplies the step of a parameter, named `dense1.b`."""

    def step(self: Updater, name: str, update: rules.Update, gradient: np.ndarray, state: Arrays) -> np.ndarray:
        return np.asarray(factor(self, name) * Updater.step(self, name, update, gradient, state))

    return change_update(step=step)


def is_layer(self: Updater, name: str, index: int) -> bool:
    return name.partition(".")[0] == list(self.state)[index].partition(".")[0]


RULES: dict[str, Entry] = {
    "rate_off_by_1_percent": Entry(
        change_settings(rate=lambda r: 1.01 * r), "the rate is 1 % too high", ALL, ("gradient",)
    ),
    "rate_off_by_1_permille": Entry(
        change_settings(rate=lambda r: 1.001 * r), "the rate is 0.1 % too high", ALL, ("gradient",)
    ),
    "momentum_changed": Entry(
        change_settings(momentum=lambda m: 0.99 * m),
        "momentum is 1 % too low",
        tasks=MOMENTUM,
        looks=("momentum plain", "own optimizer"),
    ),
    "momentum_of_0.81": Entry(
        change_settings(momentum=lambda m: 0.9 * m),
        "momentum is 10 % too low",
        tasks=MOMENTUM,
        looks=("momentum plain", "own optimizer"),
    ),
    "nesterov": Entry(
        change_step(SGD, nesterov),
        "momentum in the form of Nesterov",
        tasks=MOMENTUM,
        looks=("momentum plain", "own optimizer"),
    ),
    "dampening": Entry(
        change_step(SGD, dampening),
        "momentum with dampening",
        tasks=MOMENTUM,
        looks=("momentum plain", "own optimizer"),
    ),
    "beta1_changed": Entry(
        change_settings(beta1=lambda b: b - 0.01), "Adam's first beta is 0.89", ADAM, ("adam plain", "own optimizer")
    ),
    "beta2_changed": Entry(
        change_settings(beta2=lambda b: b - 0.009), "Adam's second beta is 0.99", ADAM, ("adam plain", "own optimizer")
    ),
    "epsilon_changed": Entry(
        change_settings(epsilon=lambda e: 10 * e),
        "epsilon is ten times that of the spec",
        looks=("adam plain", "rmsprop plain"),
    ),
    "epsilon_missing": Entry(
        change_settings(epsilon=lambda e: 1e-3 * e), "epsilon is nearly zero", looks=("adam plain", "rmsprop plain")
    ),
    "amsgrad": Entry(change_step(Adam, amsgrad), "AMSGrad instead of Adam", ADAM, ("adam plain", "own optimizer")),
    "adam_without_correction": Entry(
        change_step(Adam, without_correction), "Adam without its corrections", ADAM, ("adam plain", "own optimizer")
    ),
    "adam_counts_from_0": Entry(
        change_update(number=lambda self: max(1, self.updates)),
        "the second update counts as the first",
        ADAM,
        ("adam plain", "own"),
    ),
    "adam_counts_from_2": Entry(
        change_update(number=lambda self: self.updates + 2),
        "the first update counts as the second",
        ADAM,
        ("adam plain", "own"),
    ),
    "adam_second_moment_grows": Entry(
        change_step(Adam, second_moment_of_first),
        "the second moment grows by 0.1 % an update",
        ADAM,
        ("adam plain", "own"),
    ),
    "adagrad_starts_at_0.1": Entry(
        start_state(AdaGrad, "sum", 0.1),
        "AdaGrad's sum starts at 0.1, the default of TensorFlow",
        looks=("adagrad plain",),
    ),
    "rmsprop_starts_at_1": Entry(
        start_state(RMSProp, "mean", 1.0), "RMSProp's mean starts at one", looks=("rmsprop plain",)
    ),
    "rmsprop_centered": Entry(change_step(RMSProp, centered), "RMSProp is centered", looks=("rmsprop plain",)),
    "state_in_half_precision": Entry(
        change_update(step=rounded_state), "the optimizer's state is float16", ADAM, ("adam plain", "own optimizer")
    ),
    "state_reset_after_100": Entry(reset_every(100), "a new state after 100 updates"),
    "state_reset_after_16": Entry(
        reset_every(16), "a new state after 16 updates", looks=("adam plain", "momentum plain")
    ),
    "state_forgotten": Entry(reset_every(1), "a new state for every update", ADAM, ("adam plain", "own optimizer")),
    "gradients_not_zeroed": Entry(
        GradientsNotZeroed, "gradients add up from update to update", ALL, ("sgd plain", "own")
    ),
    "gradients_one_update_late": Entry(
        PreviousGradient, "each update uses the gradient of the one before", ALL, ("sgd plain", "own")
    ),
    "biases_at_double_rate": Entry(
        scale_step(lambda self, name: 1 + name.endswith(".b")), "biases learn twice as fast", ALL, ("gradient",)
    ),
    "biases_frozen": Entry(
        scale_step(lambda self, name: not name.endswith(".b")), "biases are not trained", ALL, ("gradient",)
    ),
    "first_layer_frozen": Entry(
        scale_step(lambda self, name: not is_layer(self, name, 0)), "the first layer is not trained", ALL, ("gradient",)
    ),
    "last_layer_frozen": Entry(
        scale_step(lambda self, name: not is_layer(self, name, -1)), "the last layer is not trained", ALL, ("gradient",)
    ),
    "last_layer_faster": Entry(
        scale_step(lambda self, name: 1.02 if is_layer(self, name, -1) else 1.0),
        "the last layer learns 2 % faster",
        ALL,
        ("gradient",),
    ),
}
MISTAKES = {f"optimizer_{name}": entry for name, entry in RULES.items()}
