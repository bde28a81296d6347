"""The reference model agrees with mathematics: finite differences, and published first steps of optimizers."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crossframe.backends.reference import prepare
from crossframe.backends.reference.model import Model
from crossframe.tasks import discover, spec
from tests.support.small_tasks import SMALL, draw_samples, small_task


def draw_entries(model: Model) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield a dozen entries of every parameter."""
    generator = np.random.default_rng(1)
    for name, value in model.parameters.items():
        for _ in range(12):
            yield name, tuple(int(generator.integers(length)) for length in value.shape)


def test_every_task_has_a_small_sister() -> None:
    assert set(SMALL) == set(discover())


@pytest.mark.parametrize("name", SMALL)
def test_gradients_agree_with_finite_differences(name: str) -> None:
    task = small_task(name)
    model = prepare(task, spec.initial_weights(task, 0), "cpu")
    x, y = draw_samples(task, 7)
    gradients = model.gradients(x, y)
    step = 1e-6
    for parameter, index in draw_entries(model):
        value = model.parameters[parameter][index]
        losses = []
        for moved in (value + step, value - step):
            model.parameters[parameter][index] = moved
            losses.append(model.loss(x, y))
        model.parameters[parameter][index] = value
        # Central differences err by step^2 and by rounding / step; measured: at most 5e-10.
        np.testing.assert_allclose((losses[0] - losses[1]) / (2 * step), gradients[parameter][index], atol=5e-9)


def prepare_dense(optimizer: spec.Optimizer, **settings: Any) -> tuple[Model, np.ndarray]:
    """Return a model of one Dense layer and its weights before training."""
    task = spec.Task("one", "circle", (3,), (spec.Dense(2),), "mean_squared_error", optimizer, 1, 0.0, **settings)
    weights = spec.initial_weights(task, 3)
    return prepare(task, weights, "cpu"), weights["dense1.w"].astype(np.float64)


def test_first_steps_are_those_of_the_formulas() -> None:
    """The first step of each formula from a zero state is a short expression."""
    x, y = np.eye(3)[:2], np.ones((2, 2))
    expected: dict[spec.Optimizer, Callable[[np.ndarray], np.ndarray]] = {
        spec.SGD(0.1): lambda g: 0.1 * g,
        spec.SGD(0.1, momentum=0.9): lambda g: 0.1 * g,
        spec.Adam(0.1): lambda g: 0.1 * g / (np.abs(g) + 1e-8),
        spec.AdaGrad(0.1): lambda g: 0.1 * g / (np.abs(g) + 1e-8),
        spec.RMSProp(0.1): lambda g: 0.1 * g / (np.sqrt(0.1) * np.abs(g) + 1e-8),
    }
    for optimizer, step in expected.items():
        model, before = prepare_dense(optimizer)
        gradient = model.gradients(x, y)["dense1.w"]
        model.train([model.put(x, y)])
        np.testing.assert_allclose(before - model.weights()["dense1.w"], step(gradient), rtol=1e-12)


def test_momentum_remembers_and_the_schedule_cuts_the_rate() -> None:
    model, before = prepare_dense(spec.SGD(0.1, momentum=0.5), schedule=spec.StepSchedule(every=1, gamma=0.1))
    ones = {name: np.ones_like(value) for name, value in model.parameters.items()}
    model.update(ones)
    model.update(ones)
    np.testing.assert_allclose(before - model.weights()["dense1.w"], 0.1 * 1 + 0.01 * 1.5)


def test_clipping_takes_the_norm_of_all_gradients_together_and_decay_comes_after_it() -> None:
    model, before = prepare_dense(spec.SGD(1.0, weight_decay=0.5), clip_norm=1.0)
    model.update({name: np.full_like(value, 2.0) for name, value in model.parameters.items()})
    entries = sum(value.size for value in model.parameters.values())
    np.testing.assert_allclose(before - model.weights()["dense1.w"], 1 / np.sqrt(entries) + 0.5 * before)


def test_dialects_change_what_they_name_and_nothing_else() -> None:
    task = small_task("circle")
    batch = draw_samples(task, 16)

    def train(optimizer: spec.Optimizer, dialect: dict[str, Any], **settings: Any) -> np.ndarray:
        variant = replace(task, optimizer=optimizer, **settings)
        model = prepare(variant, spec.initial_weights(variant, 0), "cpu", dialect=dialect)
        model.train([model.put(*batch)] * 3)
        return model.weights()["dense1.w"]

    cases: list[tuple[spec.Optimizer, dict[str, Any], dict[str, Any]]] = [
        (spec.Adam(0.01, epsilon=1e-3), {"adam_epsilon": "before_correction"}, {}),
        (spec.AdaGrad(0.01, epsilon=1e-3), {"adagrad_epsilon": "inside_root"}, {}),
        (spec.RMSProp(0.01, epsilon=1e-3), {"rmsprop_epsilon": "inside_root"}, {}),
        (spec.SGD(0.1, 0.9), {"momentum_rate": "inside_velocity"}, {"schedule": spec.StepSchedule(1, 0.5)}),
        (spec.SGD(0.1), {"clip_epsilon": 1e-6}, {"clip_norm": 0.01}),
    ]
    for optimizer, dialect, settings in cases:
        assert not np.array_equal(train(optimizer, {}, **settings), train(optimizer, dialect, **settings)), dialect
        np.testing.assert_array_equal(train(spec.SGD(0.1), {}), train(spec.SGD(0.1), dialect))


def test_a_checkpoint_brings_weights_and_optimizer_back(tmp_path: Path) -> None:
    task = small_task("lstm")
    model = prepare(task, spec.initial_weights(task, 0), "cpu")
    batch = model.put(*draw_samples(task, 4))
    model.train([batch])
    model.save(tmp_path)
    model.train([batch])
    after = model.weights()
    fresh = prepare(task, spec.initial_weights(task, 9), "cpu")
    fresh.load(tmp_path)
    fresh.train([batch])
    for name, value in after.items():
        np.testing.assert_array_equal(fresh.weights()[name], value)
