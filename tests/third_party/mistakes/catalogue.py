"""All mistakes by name, and their classes."""

from __future__ import annotations

from . import (
    batch_sizes,
    calls,
    checkpoints,
    clock,
    examination,
    layers,
    losses,
    meters,
    normalization,
    optimizers,
    other_layers,
    precision,
    predictions,
    regularization,
    repeats,
)
from .optimizers import ALL
from .wrappers import Entry, Updater

# The updates in NumPy that many mistakes are made in must be correct by themselves.
CONTROLS = {
    "control_honest": Entry(lambda prepare, task, weights: prepare(task, weights), "no mistake", ALL),
    "control_updater": Entry(Updater, "no mistake: the framework's gradients and the reference model's updates", ALL),
}
CLASSES: dict[str, dict[str, Entry]] = {
    "calls": calls.MISTAKES | batch_sizes.MISTAKES,
    "clock": clock.MISTAKES | repeats.MISTAKES,
    "examination": examination.MISTAKES,
    "checkpoints": checkpoints.MISTAKES,
    "predictions": predictions.MISTAKES,
    "optimizers": optimizers.MISTAKES,
    "regularization": regularization.MISTAKES,
    "losses": losses.MISTAKES,
    "layers": layers.MISTAKES | other_layers.MISTAKES,
    "residual": normalization.MISTAKES,
    "precision": precision.MISTAKES,
    "meters": meters.MISTAKES,
}
MISTAKES: dict[str, Entry] = {name: entry for table in CLASSES.values() for name, entry in table.items()} | CONTROLS
