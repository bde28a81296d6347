"""Mistakes in the loss, made by combining the framework's gradients of parts of a batch or of other labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from crossframe.tasks.spec import Arrays

from .optimizers import ALL
from .wrappers import Entry, Mistake, Updater, change_batch, change_update

LOOKS = ("gradient", "odd", "first epoch")  # also the gradient at steep logits
CLASSES = ("circle", "cnn", "lstm")


def add(*parts: tuple[float, Arrays]) -> Arrays:
    """Return the weighted sum of gradients."""
    return {name: sum(factor * part[name] for factor, part in parts) for name in parts[0][1]}  # type: ignore[misc]


def count_classes(self: Updater) -> int:
    return 2 if self.task.loss == "binary_cross_entropy" else int(self.task.output_shape()[0])


def smooth(epsilon: float) -> Mistake:
    """Return label smoothing: each class has a share of `epsilon`."""

    def gradients(self: Updater, x: np.ndarray, y: np.ndarray) -> Arrays:
        classes = count_classes(self)
        others = [(epsilon / classes, self.gradient(x, np.full_like(y, label))) for label in range(classes)]
        return add((1 - epsilon, self.gradient(x, y)), *others)

    return change_update(gradients=gradients)


def keep_samples(choose: Callable[[Any, np.ndarray, np.ndarray], np.ndarray], whole: bool = True) -> Mistake:
    """Return a mistake that leaves samples out; `whole` divides by all samples, otherwise by those that are left."""

    def gradients(self: Updater, x: np.ndarray, y: np.ndarray) -> Arrays:
        kept = choose(self, x, y)
        if kept.all():
            return self.gradient(x, y)
        if not kept.any():
            return {name: value * 0.0 for name, value in self.gradient(x, y).items()}
        return add((kept.mean() if whole else 1.0, self.gradient(x[kept], y[kept])))

    return change_update(gradients=gradients)


def log_likelihood(self: Updater, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the logarithm of the probability of each label."""
    z = self.model.predict(x).astype(np.float64)
    if self.task.loss == "binary_cross_entropy":
        return np.asarray(-np.logaddexp(0, np.where(y == 1, -z[:, 0], z[:, 0])))
    shifted = z - z.max(axis=1, keepdims=True)
    return np.asarray(shifted[np.arange(len(y)), y] - np.log(np.exp(shifted).sum(axis=1)))


def likely(limit: float) -> Callable[[Any, np.ndarray, np.ndarray], np.ndarray]:
    """Return the choice of samples with a probability from `limit` to 1 - `limit`: outside, a clamp has no slope."""

    def choose(self: Updater, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        probability = np.exp(log_likelihood(self, x, y))
        return np.asarray((probability > limit) & (probability < 1 - limit))

    return choose


def scale_loss(factor: Callable[[Any, np.ndarray, np.ndarray], float]) -> Mistake:
    """Return a mistake that multiplies the gradient."""
    return change_update(gradients=lambda self, x, y: add((factor(self, x, y), self.gradient(x, y))))


def weigh_classes(self: Updater, x: np.ndarray, y: np.ndarray) -> Arrays:
    first = y == 0
    if first.all() or not first.any():
        return self.gradient(x, y)
    return add(
        (1.1 * first.mean(), self.gradient(x[first], y[first])), ((~first).mean(), self.gradient(x[~first], y[~first]))
    )


def overflow(self: Updater, x: np.ndarray, y: np.ndarray) -> Arrays:
    """Return the gradient of a softmax or sigmoid without its shift: not a number where exp overflows in float32."""
    gradients = self.gradient(x, y)
    largest = float(np.abs(self.model.predict(x)).max())
    return {name: value * np.nan for name, value in gradients.items()} if largest > 88 else gradients


def kink(self: Updater, x: np.ndarray, y: np.ndarray) -> Arrays:
    """Return the gradient with the slope of zero at a logit of exactly zero, as relu(z) and |z| have it."""
    at_zero = self.model.predict(x)[:, 0] == 0
    gradients = self.gradient(x, y)
    if not at_zero.any():
        return gradients
    both = [self.gradient(x[at_zero], np.full_like(y[at_zero], label)) for label in (0, 1)]
    share = float(at_zero.mean())
    return add((1.0, gradients), (-share / 2, both[0]), (share / 2, both[1]))


def huber(self: Updater, x: np.ndarray, y: np.ndarray) -> Arrays:
    """Return the gradient towards targets that are at most 1 away from the outputs: the slope of Huber's loss."""
    outputs = self.model.predict(x)
    return self.gradient(x, np.asarray(outputs + (y - outputs).clip(-1, 1), y.dtype))


def shift_labels(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return x, (y + 1) % (y.max() + 1) if y.ndim == 1 else y


IMAGES = ("autoencoder",)
TABLE: dict[str, Entry] = {
    "halved": Entry(scale_loss(lambda self, x, y: 0.5), "the loss is halved", ALL, LOOKS),
    "off_by_1_permille": Entry(scale_loss(lambda self, x, y: 1.001), "the loss is 0.1 % too large", ALL, LOOKS),
    "summed": Entry(
        scale_loss(lambda self, x, y: float(len(x))), "the sum over the batch instead of the mean", ALL, LOOKS
    ),
    "mean_of_16": Entry(
        scale_loss(lambda self, x, y: len(x) / 16), "the mean of a constant number of samples", ALL, LOOKS
    ),
    "mean_of_task_batch": Entry(
        scale_loss(lambda self, x, y: len(x) / self.task.batch_size),
        "the mean of as many samples as the task's batch has",
        ALL,
        LOOKS,
    ),
    "summed_over_outputs": Entry(
        scale_loss(lambda self, x, y: float(np.prod(y.shape[1:]))),
        "squared errors are summed over the outputs",
        IMAGES,
        LOOKS,
    ),
    "huber": Entry(change_update(gradients=huber), "Huber's loss instead of the squared error", IMAGES, LOOKS),
    "labels_smoothed": Entry(smooth(0.1), "label smoothing of 0.1", CLASSES, LOOKS),
    "labels_smoothed_little": Entry(smooth(0.002), "label smoothing of 0.002", CLASSES, LOOKS),
    "classes_weighted": Entry(
        change_update(gradients=weigh_classes), "the first class counts 10 % more", CLASSES, LOOKS
    ),
    "first_class_ignored": Entry(
        keep_samples(lambda self, x, y: y != 0, whole=False), "label 0 is ignored as padding", CLASSES, LOOKS
    ),
    "clamped_at_1e-7": Entry(
        keep_samples(likely(1e-7)), "a cross-entropy of probabilities clamped at 1e-7", CLASSES, LOOKS
    ),
    "clamped_at_1e-2": Entry(
        keep_samples(likely(1e-2)), "a cross-entropy of probabilities clamped at 0.01", CLASSES, LOOKS
    ),
    "without_shift": Entry(
        change_update(gradients=overflow), "a softmax without its shift overflows at logits of 88", CLASSES, LOOKS
    ),
    "kink_at_zero": Entry(
        change_update(gradients=kink),
        "the slope at a logit of zero is that of relu and abs",
        ("circle",),
        ("gradient",),
    ),
    "labels_shifted": Entry(change_batch(shift_labels), "labels count from one", CLASSES, LOOKS),
    "hardest_half": Entry(
        keep_samples(
            lambda self, x, y: log_likelihood(self, x, y) <= np.median(log_likelihood(self, x, y)), whole=False
        ),
        "only the harder half of a batch is trained",
        CLASSES,
        LOOKS,
    ),
    "outliers_left_out": Entry(
        keep_samples(likely(2e-3)), "samples that are all but certain are left out", CLASSES, LOOKS
    ),
}
MISTAKES = {f"loss_{name}": entry for name, entry in TABLE.items()}
