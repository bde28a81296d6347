"""Mistakes in the layout of weights and in the inputs of layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from crossframe.backends.contract import Batch
from crossframe.tasks.spec import Arrays, Task

from .frameworks import set_weights
from .wrappers import Entry, Mistake, Prepare, Wrapper, change_input, change_layout

LOOKS = ("forward", "gradient")


def reorder_gates(order: str) -> Callable[[str, np.ndarray], np.ndarray]:
    """Return a function that puts the gates i, f, g, o of an LSTM into another order."""

    def change(name: str, value: np.ndarray) -> np.ndarray:
        if not name.startswith("lstm"):
            return value
        gates = dict(zip("ifgo", np.split(value, 4, axis=-1)))
        return np.concatenate([gates[gate] for gate in order], axis=-1)

    return change


def change_kernels(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[str, np.ndarray], np.ndarray]:
    """Return a function that changes the kernels of convolutions."""
    return lambda name, value: (
        np.ascontiguousarray(change(value)) if name.startswith("conv") and name.endswith("w") else value
    )


def reorder_rows(forward: bool) -> Callable[[str, np.ndarray], np.ndarray]:
    """Return a function that puts the rows of the first Dense after a Flatten into channels-last order (4 channels)."""

    def change(name: str, value: np.ndarray) -> np.ndarray:
        if name != "dense1.w" or len(value) % 4:
            return value
        order = np.arange(len(value)).reshape(4, -1).T.ravel()
        return value[order] if forward else value[np.argsort(order)]

    return change


def add_to(name_end: str, kind: str, amount: float, part: slice = slice(None)) -> Mistake:
    """Return a mistake that computes with other weights than those it gives back."""

    def change(sign: float) -> Callable[[str, np.ndarray], np.ndarray]:
        def shift(name: str, value: np.ndarray) -> np.ndarray:
            if not (name.startswith(kind) and name.endswith(name_end)):
                return value
            shifted = value.copy()
            shifted[..., part] += sign * amount
            return shifted

        return shift

    return change_layout(change(1.0), change(-1.0))


class ForgetBias(Wrapper):
    """The bias of the forget gate is one larger than the given one, and its share stays out of the weights."""

    def __init__(self, prepare_correct: Prepare, task: Task, weights: Arrays) -> None:
        super().__init__(prepare_correct, task, self.add(weights, 1.0))

    def add(self, weights: Arrays, sign: float) -> Arrays:
        changed = dict(weights)
        for name, value in weights.items():
            if name.startswith("lstm") and name.endswith(".b"):
                changed[name] = value.copy()
                quarter = len(value) // 4
                changed[name][quarter : 2 * quarter] += np.asarray(sign, value.dtype)
        return changed

    def weights(self) -> Arrays:
        return self.add(self.model.weights(), -1.0)


class SecondBias(Wrapper):
    """Two biases with equal gradients: their sum moves twice as far."""

    def train(self, batches: Sequence[Batch]) -> None:
        for batch in batches:
            before = self.model.weights()
            self.model.train([batch])
            after = self.model.weights()
            doubled = {
                name: 2 * value - before[name] if name.startswith("lstm") and name.endswith(".b") else value
                for name, value in after.items()
            }
            set_weights(self.model, doubled)


class WeightNotLoaded(Wrapper):
    """One parameter differs from the given one."""

    def __init__(self, prepare_correct: Prepare, task: Task, weights: Arrays) -> None:
        name = next(name for name in weights if name.endswith(".b"))
        super().__init__(prepare_correct, task, {**weights, name: weights[name] + np.float32(0.01)})


class HiddenStateKept(Wrapper):
    """A stateful recurrent layer: the sequence before is still there, seen as a part of the first step's input."""

    def set_up(self) -> None:
        self.last: np.ndarray | None = None

    def carry(self, x: np.ndarray) -> np.ndarray:
        previous, self.last = self.last, x
        if previous is None or previous.shape != x.shape:
            return x
        changed = x.copy()
        changed[:, 0] += 0.1 * previous[:, -1]
        return changed

    def put(self, x: np.ndarray, y: np.ndarray) -> Batch:
        return self.model.put(self.carry(x), y)

    def predict(self, x: np.ndarray) -> np.ndarray:
        return self.model.predict(self.carry(x))


def drop(x: np.ndarray) -> np.ndarray:
    mask = np.random.default_rng(5).random(x.shape) < 0.9
    return np.asarray(x * mask / 0.9, x.dtype)


def shift_columns(x: np.ndarray) -> np.ndarray:
    return np.concatenate([x[..., 1:], 0 * x[..., :1]], axis=-1)


def mask_steps(x: np.ndarray) -> np.ndarray:
    """Return the sequences without their first step, as with truncated backpropagation one step too short."""
    changed = x.copy()
    changed[:, 0] = 0
    return changed


TABLE: dict[str, Entry] = {
    "gates_swapped": Entry(
        change_layout(reorder_gates("igfo"), reorder_gates("igfo")),
        "the gates are in the order i g f o",
        ("lstm",),
        LOOKS,
    ),
    "gates_as_onnx": Entry(
        change_layout(reorder_gates("iofg"), reorder_gates("igof")),
        "the gates are in ONNX's order i o f c",
        ("lstm",),
        LOOKS,
    ),
    "forget_bias_of_1": Entry(ForgetBias, "one is added to the bias of the forget gate", ("lstm",), LOOKS),
    "second_bias_trained": Entry(SecondBias, "a second bias is trained", ("lstm",), ("gradient",)),
    "state_kept": Entry(
        HiddenStateKept, "the hidden state is not reset between batches", ("lstm",), ("forward", "first epoch")
    ),
    "sequence_reversed": Entry(
        change_input(lambda x: x[:, ::-1].copy()), "sequences are read backwards", ("lstm",), LOOKS
    ),
    "first_step_lost": Entry(change_input(mask_steps), "the first step of a sequence is lost", ("lstm",), LOOKS),
    "kernel_transposed": Entry(
        change_layout(change_kernels(lambda w: w.swapaxes(2, 3)), change_kernels(lambda w: w.swapaxes(2, 3))),
        "kernels are transposed",
        ("cnn",),
        LOOKS,
    ),
    "kernel_flipped": Entry(
        change_layout(change_kernels(lambda w: w[:, :, ::-1, ::-1]), change_kernels(lambda w: w[:, :, ::-1, ::-1])),
        "a convolution instead of a cross-correlation",
        ("cnn",),
        LOOKS,
    ),
    "padding_off_by_one": Entry(change_input(shift_columns), "the padding is one column off", ("cnn",), LOOKS),
    "flatten_order_wrong": Entry(
        change_layout(reorder_rows(True), reorder_rows(False)), "Flatten has channels last", ("cnn",), LOOKS
    ),
    "channels_swapped": Entry(
        change_input(lambda x: x[:, ::-1].copy()), "the channels of an image are in reverse order", ("cnn",), LOOKS
    ),
    "image_transposed": Entry(
        change_input(lambda x: x.swapaxes(2, 3).copy()), "height and width of images are swapped", ("cnn",), LOOKS
    ),
    "weight_not_loaded": Entry(
        WeightNotLoaded, "one bias is not the given one", ("circle", "cnn", "lstm", "autoencoder"), LOOKS
    ),
    "bias_shifted": Entry(
        add_to(".b", "dense1", 1e-3),
        "the first bias is 0.001 off and comes back as given",
        ("circle", "cnn", "lstm", "autoencoder"),
        LOOKS,
    ),
    "dropout_left_on": Entry(
        change_input(drop), "dropout stays on in predictions", ("circle", "cnn", "lstm", "autoencoder"), LOOKS
    ),
}
MISTAKES = {f"layer_{name}": entry for name, entry in TABLE.items()}
