"""The probe that lasts as long as a training shows mistakes that begin late: found with the reference model alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import crossframe.backends.reference.model as reference
from crossframe.harness.parity.checks import ExpectedTraces, compare_resumed
from crossframe.harness.parity.near_ties import CloseTieModel
from crossframe.harness.parity.optimizer_variants import OWN
from crossframe.harness.parity.probe_design import design_probes
from crossframe.harness.parity.tolerances import tolerances_for
from crossframe.harness.worker.probes import Probe, resume, select_start
from crossframe.tasks.spec import Arrays, initial_weights
from tests.support.designed_probes import (
    MOST_ALLOWED,
    SEEDS,
    STEPS_OF_AN_EPOCH,
    TASKS,
    allowed,
    measure,
    run,
)
from tests.support.small_tasks import draw_samples

pytestmark = pytest.mark.frameworks  # takes seconds


@cache
def design_late(name: str, seed: int = 0) -> tuple[Probe, Arrays, int]:
    """Return the probe that lasts as long as the training of a task, its arrays, and the updates of the training."""
    task = TASKS[name]
    x, y = draw_samples(task, 16, seed)
    order = np.tile(np.arange(16).reshape(1, 1, 16), (task.epochs, STEPS_OF_AN_EPOCH, 1))
    data = {"x_train": x.astype(np.float32), "y_train": y, "order": order}
    probes, arrays = design_probes(task, data, initial_weights(task, seed), every_optimizer=False, seed=seed)
    probe = next(probe for probe in probes if probe.name == f"{OWN} all variants")
    return probe, arrays, task.epochs * STEPS_OF_AN_EPOCH


def end_table(model: reference.Model, gradients: Arrays) -> None:
    """Update without a schedule, with Adam's corrections from a table of 200 entries."""
    number, model.updates = model.updates, min(model.updates, 199)
    reference.Model.update(model, gradients)
    model.updates = number + 1


def reset(model: reference.Model, gradients: Arrays) -> None:
    if model.updates % 150 == 0:
        model.state = {name: {} for name in model.state}
    reference.Model.update(model, gradients)


def halve(model: reference.Model, gradients: Arrays) -> None:
    before = dict(model.parameters)
    reference.Model.update(model, gradients)
    if model.updates > 160:
        model.parameters = {name: (before[name] + value) / 2 for name, value in model.parameters.items()}


def store_half(model: reference.Model, gradients: Arrays) -> None:
    reference.Model.update(model, gradients)
    if model.updates > 160:
        model.parameters = {name: np.float16(value).astype(value.dtype) for name, value in model.parameters.items()}


def freeze(model: reference.Model, gradients: Arrays) -> None:
    frozen = model.updates > 160
    kept = {name: value for name, value in gradients.items() if not (frozen and name.startswith("dense1."))}
    reference.Model.update(model, kept)


def drop(model: reference.Model, gradients: Arrays) -> None:
    if (model.updates + 1) % 150:
        reference.Model.update(model, gradients)
    else:
        model.updates += 1


LATE_MISTAKES = (reset, halve, store_half, freeze, drop)


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("mistake", LATE_MISTAKES)
def test_a_mistake_that_begins_late_shows(name: str, mistake: Callable[[reference.Model, Arrays], None]) -> None:
    probe, arrays, _ = design_late(name)
    model = type("Late", (reference.Model,), {"update": mistake})
    errors = [error for *_, error in measure(run(probe, arrays, model), run(probe, arrays), probe, arrays)]
    assert max(errors) > 3 * tolerances_for(probe, "float32", 1)["weights"]


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("seed", SEEDS)
def test_the_late_probe_lasts_as_long_as_the_training_and_hardly_rounds(name: str, seed: int) -> None:
    probe, arrays, updates = design_late(name, seed)
    assert len(probe.batches) == max(probe.weights_after) >= updates
    calls = [len(names) for _, names in probe.calls()]
    assert len({*calls[4:]}) == 1  # a compiler meets one length
    assert calls[-1] % 2
    assert probe.saved_after == len(probe.batches) - calls[-1] > 150
    exact, low = run(probe, arrays), run(probe, arrays, CloseTieModel)
    assert all(allowed(probe, *each, "float32") < MOST_ALLOWED for each in measure(low, exact, probe, arrays))


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("part", ["counter", "state"])
def test_a_checkpoint_that_is_incomplete_late_shows(name: str, part: str, tmp_path: Path) -> None:
    class Incomplete(reference.Model):
        def load(self, path: Path) -> None:
            super().load(path)
            if part == "counter":
                self.updates %= 128
            elif self.updates > 160:
                self.state = {name: {} for name in self.state}

    probe, arrays, _ = design_late(name)
    expected = ExpectedTraces(probe, "float32", run(probe, arrays), tuple, select_start(arrays, probe), arrays)
    run(probe, arrays, checkpoint=tmp_path / "saved")
    for model, passes in ((reference.Model, True), (Incomplete, False)):
        fresh = model(probe.task, select_start(arrays, probe), np.dtype("float64"), {})
        traces = resume(probe, fresh, arrays, tmp_path / "saved")
        assert all(check.passed for check in compare_resumed(*traces, expected)) == passes


def test_a_table_of_corrections_that_ends_shows() -> None:
    probe, arrays, _ = design_late("circle")
    probe = replace(probe, task=replace(probe.task, schedule=None))
    model = type("Late", (reference.Model,), {"update": end_table})
    errors = [error for *_, error in measure(run(probe, arrays, model), run(probe, arrays), probe, arrays)]
    assert max(errors) > 100 * tolerances_for(probe, "float32", 1)["weights"]
