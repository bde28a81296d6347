"""Mistakes in weight decay, clipping and schedule."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from crossframe.backends.reference import optimizers as rules
from crossframe.tasks.spec import Arrays, StepSchedule

from .optimizers import ALL
from .wrappers import Entry, Mistake, Updater, change_settings, change_task, change_update

CLIP, DECAY, SCHEDULE = ("sgd clip", "own"), ("sgd decay", "adam all variants", "own"), ("sgd schedule", "own")


def norm(arrays: Arrays) -> float:
    return float(np.sqrt(sum(float((value**2).sum()) for value in arrays.values())))


def scale(arrays: Arrays, factor: float) -> Arrays:
    return {name: value * factor for name, value in arrays.items()}


def clip_each(self: Updater, gradients: Arrays, limit: float) -> Arrays:
    return {name: value * min(1.0, limit / max(norm({name: value}), 1e-30)) for name, value in gradients.items()}


def clip_weights_only(self: Updater, gradients: Arrays, limit: float) -> Arrays:
    factor = min(1.0, limit / max(norm({k: v for k, v in gradients.items() if not k.endswith(".b")}), 1e-30))
    return scale(gradients, factor)


def clip_above_twice(self: Updater, gradients: Arrays, limit: float) -> Arrays:
    return scale(gradients, limit / norm(gradients)) if norm(gradients) > 2 * limit else gradients


def clip_in_decay(self: Updater, weights: Arrays, gradients: Arrays) -> Arrays:
    """Clip the step instead of the gradient."""
    limit, task = self.task.clip_norm, self.task
    if limit is None:
        return Updater.update(self, weights, gradients)
    self.task = replace(task, clip_norm=None)
    changed = Updater.update(self, weights, gradients)
    self.task = task
    steps = {name: weights[name] - value for name, value in changed.items()}
    factor = min(1.0, limit * self.rate() / max(norm(steps), 1e-30))
    return {name: weights[name] - factor * step for name, step in steps.items()}


class DecoupledDecay(Updater):
    """Decay of the weights beside the step, as in AdamW."""

    def decay(self, name: str) -> float:
        return 0.0

    def update(self, weights: Arrays, gradients: Arrays) -> Arrays:
        share = self.rate() * self.task.optimizer.weight_decay
        changed = super().update(weights, gradients)
        return {name: value - share * weights[name] for name, value in changed.items()}


class DecayBeforeClipping(Updater):
    def update(self, weights: Arrays, gradients: Arrays) -> Arrays:
        decay = self.task.optimizer.weight_decay
        return super().update(weights, {name: g + decay * weights[name] for name, g in gradients.items()})

    def decay(self, name: str) -> float:
        return 0.0


def scheduled(power: Any) -> Mistake:
    """Return a mistake in the exponent of the schedule: `power(k, every)` for the update k from 0."""

    def rate(self: Updater) -> float:
        schedule = self.task.schedule
        if not isinstance(schedule, StepSchedule):
            return Updater.rate(self)
        return self.task.optimizer.rate * schedule.gamma ** power(self.updates, schedule.every)

    return change_update(rate=rate)


def decay_l1(self: Updater, weights: Arrays, gradients: Arrays) -> Arrays:
    decay = self.task.optimizer.weight_decay
    signed = {name: value + decay * np.sign(weights[name]) for name, value in gradients.items()}
    return Updater.update(self, weights, signed)


def own_decay(self: Updater) -> float:
    return rules.make_rounding(self.task.optimizer, self.dialect)(self.task.optimizer.weight_decay)


TABLE: dict[str, Entry] = {
    "decay_missing": Entry(change_settings(weight_decay=lambda d: 0.0), "weight decay is left out", ALL, DECAY),
    "decay_halved": Entry(
        change_settings(weight_decay=lambda d: d / 2), "decay as the gradient of half the square", ALL, DECAY
    ),
    "decay_off_by_2_percent": Entry(
        change_settings(weight_decay=lambda d: 1.02 * d), "decay is 2 % too high", ALL, DECAY
    ),
    "decay_decoupled": Entry(DecoupledDecay, "decay beside the step, as in AdamW", ALL, DECAY),
    "decay_before_clipping": Entry(DecayBeforeClipping, "decay is clipped with the gradient", ALL, ("own", "clip")),
    "decay_not_of_biases": Entry(
        change_update(decay=lambda self, name: 0.0 if name.endswith(".b") else own_decay(self)),
        "biases do not decay",
        ALL,
        DECAY,
    ),
    "decay_of_kernels_only": Entry(
        change_update(decay=lambda self, name: own_decay(self) if name.startswith("dense") else 0.0),
        "only dense layers decay",
        ("cnn", "lstm"),
        DECAY,
    ),
    "decay_l1": Entry(
        change_update(decay=lambda self, name: 0.0, update=decay_l1), "decay by the sign of the weights", ALL, DECAY
    ),
    "decay_not_in_first_update": Entry(
        change_update(decay=lambda self, name: own_decay(self) if self.updates else 0.0),
        "decay starts at the second update",
        ALL,
        DECAY,
    ),
    "clip_left_out": Entry(change_task(lambda task: replace(task, clip_norm=None)), "clipping is left out", ALL, CLIP),
    "clip_each_parameter": Entry(change_update(clip=clip_each), "each parameter is clipped by itself", ALL, CLIP),
    "clip_by_value": Entry(
        change_update(clip=lambda self, g, limit: {n: v.clip(-limit, limit) for n, v in g.items()}),
        "numbers are clipped, not the norm",
        ALL,
        CLIP,
    ),
    "clip_also_below": Entry(
        change_update(clip=lambda self, g, limit: scale(g, limit / max(norm(g), 1e-30))),
        "gradients below the limit are scaled up to it",
        ALL,
        CLIP,
    ),
    "clip_above_twice_the_limit": Entry(
        change_update(clip=clip_above_twice), "norms up to twice the limit pass", ALL, CLIP
    ),
    "clip_without_biases": Entry(change_update(clip=clip_weights_only), "the norm leaves biases out", ALL, CLIP),
    "clip_by_square": Entry(
        change_update(clip=lambda self, g, limit: scale(g, min(1.0, limit / max(norm(g) ** 2, 1e-30)))),
        "the root of the norm is left out",
        ALL,
        CLIP,
    ),
    "clip_of_steps": Entry(change_update(update=clip_in_decay), "the step is clipped, not the gradient", ALL, CLIP),
    "clip_limit_off_by_1_percent": Entry(
        change_task(lambda task: replace(task, clip_norm=task.clip_norm and 1.01 * task.clip_norm)),
        "the limit is 1 % too high",
        ALL,
        CLIP,
    ),
    "schedule_left_out": Entry(
        change_task(lambda task: replace(task, schedule=None)), "the schedule is left out", ALL, SCHEDULE
    ),
    "schedule_early": Entry(
        scheduled(lambda k, every: (k + 1) // every), "the rate falls one update early", ALL, SCHEDULE
    ),
    "schedule_late": Entry(
        scheduled(lambda k, every: max(0, k - 1) // every), "the rate falls one update late", ALL, SCHEDULE
    ),
    "schedule_smooth": Entry(scheduled(lambda k, every: k / every), "the rate falls smoothly", ALL, SCHEDULE),
    "schedule_once": Entry(scheduled(lambda k, every: min(1, k // every)), "the rate falls only once", looks=SCHEDULE),
    "schedule_linear": Entry(
        scheduled(lambda k, every: (k // every) * 1.05), "each fall is 5 % too far", ALL, SCHEDULE
    ),
    "schedule_warms_up": Entry(
        change_update(
            rate=lambda self: rules.scheduled_rate(self.task, self.updates) * min(1.0, (self.updates + 1) / 3)
        ),
        "the rate rises over the first three updates",
        ALL,
        ("gradient",),
    ),
}
MISTAKES = TABLE
