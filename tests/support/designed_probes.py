"""The probes of every task, and their traces by the reference model alone."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np

import crossframe.backends.reference.model as reference
from crossframe.harness.parity.checks import output_error, weight_errors
from crossframe.harness.parity.near_ties import CloseTieModel
from crossframe.harness.parity.probe_design import design_probes
from crossframe.harness.parity.tolerances import ROUNDING_FACTOR, tolerances_for
from crossframe.harness.worker.probes import Probe, select_start, trace
from crossframe.tasks import discover
from crossframe.tasks.spec import Arrays, initial_weights
from tests.support.small_tasks import SMALL, draw_samples, small_task

TASKS = {name: small_task(name) if name in SMALL else presets["standard"] for name, presets in discover().items()}
VISIBLE = 10  # times the tolerance
MOST_ALLOWED = 0.01
EPOCH_STEPS = 12
STEPS_OF_AN_EPOCH = 25  # of the data of `circle`, about as many as those of the others
SEEDS = (0, 1, 2)


@cache
def design(name: str, seed: int = 0, batch_size: int = 16) -> tuple[dict[str, Probe], Arrays]:
    """Return the probes of a task by name, and their arrays."""
    task = TASKS[name]
    x, y = draw_samples(task, EPOCH_STEPS * batch_size, seed)
    order = np.random.default_rng(seed).permutation(len(x)).reshape(1, EPOCH_STEPS, batch_size)
    data = {"x_train": x.astype(np.float32), "y_train": y, "order": np.repeat(order, 2, axis=0)}
    probes, arrays = design_probes(task, data, initial_weights(task, seed), name == "circle", seed)
    return {probe.name: probe for probe in probes}, arrays


def run(probe: Probe, arrays: Arrays, model: type[reference.Model] = reference.Model, **options: Any) -> Arrays:
    """Return the traces of a probe in a model."""
    dtype = np.dtype("float32" if model is CloseTieModel else "float64")
    return trace(probe, model(probe.task, select_start(arrays, probe), dtype, {}), arrays, **options)


@cache
def exact_and_low(name: str, probe: str, seed: int = 0, batch_size: int = 16) -> tuple[Arrays, Arrays]:
    """Return the traces of a probe in float64, and with the rounding of float32."""
    probes, arrays = design(name, seed, batch_size)
    return run(probes[probe], arrays), run(probes[probe], arrays, CloseTieModel)


def measure(changed: Arrays, exact: Arrays, probe: Probe, arrays: Arrays) -> Iterator[tuple[str, int, float]]:
    """Yield (kind, updates, error) for everything that is compared."""
    for key in (key for key in exact if key.startswith("outputs/")):
        suffix = key.removeprefix("outputs/")
        yield "outputs", int(suffix) if suffix.isdigit() else 0, output_error(changed[key], exact[key])
    for updates in probe.weights_after:
        if updates:
            yield "weights", updates, max(weight_errors(changed, exact, select_start(arrays, probe), updates).values())


def visibility(changed: Arrays, name: str, probe_name: str, seed: int = 0) -> float:
    """Return how many times the allowed error a mistake is, where it shows most."""
    probes, arrays = design(name, seed)
    probe = probes[probe_name]
    exact, low = exact_and_low(name, probe_name, seed)
    rounding = {(kind, updates): error for kind, updates, error in measure(low, exact, probe, arrays)}
    return max(
        error / allowed(probe, kind, updates, rounding[kind, updates], "float32")
        for kind, updates, error in measure(changed, exact, probe, arrays)
    )


def allowed(probe: Probe, kind: str, updates: int, rounding: float, precision: str) -> float:
    """Return the error that passes."""
    return max(tolerances_for(probe, precision, updates)[kind], ROUNDING_FACTOR * rounding)
