"""Mistakes in the arithmetic, and in the data that a batch holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from crossframe.backends.contract import Batch
from crossframe.tasks.spec import Arrays, Task

from .optimizers import ALL
from .wrappers import (
    Entry,
    Mistake,
    Prepare,
    Updater,
    Wrapper,
    call_after,
    change_batch,
    change_input,
    change_outputs,
    change_update,
)

LOOKS = ("forward", "gradient")


def keep_bits(bits: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function that rounds float32 numbers to so many bits of mantissa, as TF32 (10) and bfloat16 (7) do."""
    drop = np.uint32(23 - bits)

    def rounded(x: np.ndarray) -> np.ndarray:
        whole = np.ascontiguousarray(x, np.float32).view(np.uint32)
        half = np.uint32(1) << (drop - np.uint32(1))
        return np.asarray((((whole + half) >> drop) << drop).view(np.float32), x.dtype)

    return rounded


def round_weights(rounding: Callable[[np.ndarray], np.ndarray]) -> Mistake:
    """Return a mistake that rounds the weights after each update."""

    def update(self: Updater, weights: Arrays, gradients: Arrays) -> Arrays:
        return {name: rounding(value) for name, value in Updater.update(self, weights, gradients).items()}

    return change_update(update=update)


def round_gradients(rounding: Callable[[np.ndarray], np.ndarray]) -> Mistake:
    return change_update(gradients=lambda self, x, y: {n: rounding(g) for n, g in self.gradient(x, y).items()})


def stochastic(x: np.ndarray) -> np.ndarray:
    """Return the numbers rounded up or down to bfloat16 by chance."""
    whole = np.ascontiguousarray(x, np.float32).view(np.uint32)
    noise = np.random.default_rng().integers(0, 2**16, whole.shape, np.uint32)
    return np.asarray(((whole + noise) & np.uint32(0xFFFF0000)).view(np.float32), np.float64)


def float32_settings(task: Task) -> Task:
    settings: Any = task.optimizer
    rounded = {name: float(np.float32(value)) for name, value in vars(settings).items()}
    return replace(task, optimizer=replace(settings, **rounded))


def own_copy(prepare_correct: Prepare, task: Task, weights: Arrays) -> Any:
    return prepare_correct(float32_settings(task), weights)


class Shifted(Wrapper):
    """The labels are those of the batch before."""

    labels: np.ndarray | None = None

    def put(self, x: np.ndarray, y: np.ndarray) -> Batch:
        previous, self.labels = self.labels, y
        return self.model.put(x, y if previous is None or previous.shape != y.shape else previous)


def seeded_order(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return x[np.random.default_rng(3).permutation(len(x))], y


def add_noise(size: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: np.asarray(x * (1 + size * np.random.default_rng().normal(size=x.shape)), x.dtype)


def reorder_samples(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.random.default_rng().permutation(len(x))
    return x[order], y[order]


half = np.float16
TABLE: dict[str, Entry] = {
    "precision_inputs_half": Entry(
        change_input(lambda x: x.astype(half).astype(x.dtype)), "inputs are float16", ALL, LOOKS
    ),
    "precision_inputs_tf32": Entry(change_input(keep_bits(10)), "inputs have the ten bits of TF32", ALL, LOOKS),
    "precision_inputs_12_bits": Entry(change_input(keep_bits(12)), "inputs have 12 bits of mantissa", ALL, LOOKS),
    "precision_inputs_bfloat16": Entry(change_input(keep_bits(7)), "inputs are bfloat16", ALL, LOOKS),
    "precision_weights_half": Entry(
        round_weights(lambda w: w.astype(half).astype(np.float64)),
        "weights are stored as float16",
        ALL,
        ("first epoch", "gradient"),
    ),
    "precision_weights_bfloat16": Entry(
        round_weights(keep_bits(7)), "weights are stored as bfloat16", ALL, ("first epoch", "gradient")
    ),
    "precision_weights_stochastic": Entry(
        round_weights(stochastic), "weights are rounded by chance", ALL, ("first epoch", "gradient")
    ),
    "precision_gradients_half": Entry(
        round_gradients(lambda g: g.astype(half).astype(np.float64)), "gradients are float16", ALL, ("gradient",)
    ),
    "precision_gradients_tf32": Entry(
        round_gradients(keep_bits(10)), "gradients have the ten bits of TF32", ALL, ("gradient",)
    ),
    "precision_float64_outputs": Entry(
        change_outputs(lambda z: z.astype(np.float32).astype(z.dtype)),
        "outputs of a float64 cell are float32",
        ALL,
        LOOKS,
        precision="float64",
    ),
    "precision_float64_weights": Entry(
        round_weights(lambda w: w.astype(np.float32).astype(np.float64)),
        "weights of a float64 cell are stored as float32",
        ALL,
        ("gradient", "first epoch"),
        precision="float64",
    ),
    "precision_float64_settings": Entry(
        own_copy,
        "the optimizer's settings are float32 in a float64 cell",
        ("circle",),
        ("adam", "sgd"),
        ("torch", "jax", "tensorflow"),
        precision="float64",
    ),
    "precision_float64_rates": Entry(
        round_gradients(lambda g: g * (1 + 1e-8)),
        "gradients of a float64 cell are off by 1e-8",
        ALL,
        ("gradient",),
        precision="float64",
    ),
    "data_unseeded": Entry(
        change_input(add_noise(1e-3), predicting=False), "inputs differ from run to run by a thousandth", ALL, ("odd",)
    ),
    "data_unseeded_little": Entry(
        change_input(add_noise(1e-5), predicting=False),
        "inputs differ from run to run by a hundred-thousandth",
        ALL,
        ("odd",),
    ),
    "data_samples_reordered": Entry(
        change_batch(reorder_samples), "samples of a batch come in another order each time", ALL, ("odd",)
    ),
    "data_labels_of_previous": Entry(Shifted, "labels are those of the batch before", ALL, ("first epoch", "odd")),
    "data_inputs_shuffled": Entry(
        change_batch(seeded_order), "inputs are shuffled without their labels", ("circle", "cnn", "lstm"), LOOKS
    ),
    "data_flipped": Entry(
        change_batch(lambda x, y: (x[..., ::-1].copy(), y)), "augmentation flips the inputs", ALL, LOOKS
    ),
    "data_clipped": Entry(change_input(lambda x: x.clip(-2, 2)), "inputs are clipped to ±2", ALL, LOOKS),
    "data_standardized": Entry(
        change_input(lambda x: np.asarray(x - x.mean(axis=0, keepdims=True) * 0.01, x.dtype)),
        "a batch is centred a little",
        ALL,
        LOOKS,
    ),
    "data_scaled": Entry(
        change_input(lambda x: np.asarray(x * (1 - 1 / 256), x.dtype)),
        "pixels are divided by 256 instead of 255",
        ALL,
        LOOKS,
    ),
    "data_bytes": Entry(
        change_input(lambda x: np.asarray(np.round(x * 32) / 32, x.dtype)), "inputs are stored as bytes", ALL, LOOKS
    ),
    "data_first_sample_repeated": Entry(
        change_batch(
            lambda x, y: (
                (np.concatenate([x[:1], x[:1], x[2:]]), np.concatenate([y[:1], y[:1], y[2:]])) if len(x) > 1 else (x, y)
            )
        ),
        "the second sample of a batch is the first",
        ALL,
        LOOKS,
    ),
    "data_labels_flipped": Entry(
        call_after(
            "put",
            lambda self, model, x, y: model.put(
                x, np.where(np.arange(len(y)) == len(y) - 1, 0, y) if y.ndim == 1 else y
            ),
        ),
        "the last label of each batch is zero",
        ("circle", "cnn", "lstm"),
        ("gradient", "odd", "first epoch"),
    ),
}
MISTAKES = TABLE
