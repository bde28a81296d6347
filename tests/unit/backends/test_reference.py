"""The oracle is held to mathematics: gradients to finite differences, optimizers to their published first steps."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crossframe.backends.reference import prepare
from crossframe.backends.reference.model import Model
from crossframe.harness.parity import checks, near_ties
from crossframe.harness.worker.probes import Probe
from crossframe.tasks import discover, spec
from crossframe.tasks.spec import Task

# The tasks' own layers and losses at sizes where every finite difference is quick.
SMALL: dict[str, dict[str, Any]] = {
    "circle": {},
    "cnn": {
        "input_shape": (2, 8, 8),
        "layers": (
            spec.Conv2D(3, size=3, padding=1), spec.ReLU(), spec.MaxPool2D(2),
            spec.Conv2D(4, size=3, padding=1), spec.ReLU(), spec.MaxPool2D(2),
            spec.Flatten(), spec.Dense(5), spec.ReLU(), spec.Dense(10),
        ),
    },
    "lstm": {"input_shape": (5, 6), "layers": (spec.LSTM(4), spec.LSTM(3), spec.LastStep(), spec.Dense(10))},
    "autoencoder": {"input_shape": (12,), "layers": (spec.Dense(7), spec.ReLU(), spec.Dense(12))},
}  # fmt: skip


def small(name: str) -> Task:
    return replace(discover()[name]["standard"], **SMALL[name])


def drawn(task: Task, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(count, *task.input_shape))
    if task.loss == "mean_squared_error":
        return x, generator.normal(size=x.shape)
    return x, generator.integers(0, 2 if task.loss == "binary_cross_entropy" else 10, count)


def places(model: Model) -> Iterator[tuple[str, tuple[int, ...]]]:
    """A dozen entries of every parameter."""
    generator = np.random.default_rng(1)
    for name, value in model.parameters.items():
        for _ in range(12):
            yield name, tuple(int(generator.integers(length)) for length in value.shape)


def test_every_task_has_a_small_sister() -> None:
    assert set(SMALL) == set(discover())


@pytest.mark.parametrize("name", SMALL)
def test_gradients_agree_with_finite_differences(name: str) -> None:
    task = small(name)
    model = prepare(task, spec.initial_weights(task, 0), "cpu")
    x, y = drawn(task, 7)
    gradients = model.gradients(x, y)
    step = 1e-6
    for parameter, place in places(model):
        kept = model.parameters[parameter][place]
        losses = []
        for moved in (kept + step, kept - step):
            model.parameters[parameter][place] = moved
            losses.append(model.loss(x, y))
        model.parameters[parameter][place] = kept
        # Central differences err by step^2 and by rounding / step; measured: at most 5e-10.
        np.testing.assert_allclose((losses[0] - losses[1]) / (2 * step), gradients[parameter][place], atol=5e-9)


def one_weight(optimizer: spec.Optimizer, **more: Any) -> tuple[Model, np.ndarray]:
    """A model of one Dense layer and its weights before training."""
    task = spec.Task("one", "circle", (3,), (spec.Dense(2),), "mean_squared_error", optimizer, 1, 0.0, **more)
    weights = spec.initial_weights(task, 3)
    return prepare(task, weights, "cpu"), weights["dense1.w"].astype(np.float64)


def test_first_steps_are_those_of_the_formulas() -> None:
    """From a zero state, each formula's first step can be written down in a line."""
    x, y = np.eye(3)[:2], np.ones((2, 2))
    expected = {
        spec.SGD(0.1): lambda g: 0.1 * g,
        spec.SGD(0.1, momentum=0.9): lambda g: 0.1 * g,
        spec.Adam(0.1): lambda g: 0.1 * g / (np.abs(g) + 1e-8),
        spec.AdaGrad(0.1): lambda g: 0.1 * g / (np.abs(g) + 1e-8),
        spec.RMSProp(0.1): lambda g: 0.1 * g / (np.sqrt(0.1) * np.abs(g) + 1e-8),
    }
    for optimizer, step in expected.items():
        model, before = one_weight(optimizer)
        gradient = model.gradients(x, y)["dense1.w"]
        model.train([model.put(x, y)])
        np.testing.assert_allclose(before - model.weights()["dense1.w"], step(gradient), rtol=1e-12)


def test_momentum_remembers_and_the_schedule_cuts_the_rate() -> None:
    model, before = one_weight(spec.SGD(0.1, momentum=0.5), schedule=spec.StepSchedule(every=1, gamma=0.1))
    ones = {name: np.ones_like(value) for name, value in model.parameters.items()}
    model.update(ones)
    model.update(ones)
    np.testing.assert_allclose(before - model.weights()["dense1.w"], 0.1 * 1 + 0.01 * 1.5)


def test_clipping_takes_the_norm_of_all_gradients_together_and_decay_comes_after_it() -> None:
    model, before = one_weight(spec.SGD(1.0, weight_decay=0.5), clip_norm=1.0)
    model.update({name: np.full_like(value, 2.0) for name, value in model.parameters.items()})
    entries = sum(value.size for value in model.parameters.values())
    np.testing.assert_allclose(before - model.weights()["dense1.w"], 1 / np.sqrt(entries) + 0.5 * before)


def test_dialects_change_what_they_name_and_nothing_else() -> None:
    task = small("circle")
    batch = drawn(task, 16)

    def trained(optimizer: spec.Optimizer, dialect: dict[str, Any], **more: Any) -> np.ndarray:
        own = replace(task, optimizer=optimizer, **more)
        model = prepare(own, spec.initial_weights(own, 0), "cpu", dialect=dialect)
        model.train([model.put(*batch)] * 3)
        return model.weights()["dense1.w"]

    words = [
        (spec.Adam(0.01, epsilon=1e-3), {"adam_epsilon": "before_correction"}, {}),
        (spec.AdaGrad(0.01, epsilon=1e-3), {"adagrad_epsilon": "inside_root"}, {}),
        (spec.RMSProp(0.01, epsilon=1e-3), {"rmsprop_epsilon": "inside_root"}, {}),
        (spec.SGD(0.1, 0.9), {"momentum_rate": "inside_velocity"}, {"schedule": spec.StepSchedule(1, 0.5)}),
        (spec.SGD(0.1), {"clip_epsilon": 1e-6}, {"clip_norm": 0.01}),
    ]
    for optimizer, dialect, more in words:
        assert not np.array_equal(trained(optimizer, {}, **more), trained(optimizer, dialect, **more)), dialect
        np.testing.assert_array_equal(trained(spec.SGD(0.1), {}), trained(spec.SGD(0.1), dialect))


def test_a_checkpoint_brings_weights_and_optimizer_back(tmp_path: Path) -> None:
    task = small("lstm")
    model = prepare(task, spec.initial_weights(task, 0), "cpu")
    batch = model.put(*drawn(task, 4))
    model.train([batch])
    model.save(tmp_path)
    model.train([batch])
    after = model.weights()
    fresh = prepare(task, spec.initial_weights(task, 9), "cpu")
    fresh.load(tmp_path)
    fresh.train([batch])
    for name, value in after.items():
        np.testing.assert_array_equal(fresh.weights()[name], value)


def test_near_ties_are_decided_the_other_way_and_exact_ones_are_not() -> None:
    near = np.float32(near_ties.NEAR / 4)
    x = np.array([[-near, near, 0.0, -1.0, 1.0]], np.float32)
    _, positive = near_ties.contrary_relu(spec.ReLU(), {}, x)
    assert positive.tolist() == [[True, False, False, False, True]]
    # One pool a tie but for rounding, one an exact tie, one no tie.
    tiles = np.array([[[[1 - near, 1, 0.5, 0.5, 0.3, 0.1], [0, 0, 0, 0, 0.2, 0.6]]]], np.float32)
    y, (_, taken) = near_ties.contrary_pool(spec.MaxPool2D(2), {}, tiles)
    assert y.ravel().tolist() == pytest.approx([1, 0.5, 0.6])
    assert taken.ravel().tolist() == [0, 0, 3]


@pytest.mark.filterwarnings("ignore:invalid value")
def test_an_oracle_that_overflows_excuses_nothing() -> None:
    task = small("circle")
    probe = Probe("forward", task, ("drawn0",), outputs=True)
    y = np.array([0.0, 1.0])
    want = {"outputs/0": np.array([[1.0], [2.0]])}
    seen, broken = {"outputs/0": want["outputs/0"] * 1.5}, {"outputs/0": np.full((2, 1), np.nan)}
    found = list(checks.compare(probe, seen, want, (broken, want), {}, {"drawn0/y": y}, "float32"))
    assert found and not any(check.passed for check in found)


def test_a_weight_that_came_back_is_measured_by_how_far_it_has_been() -> None:
    want = {"weights/1/b": np.array([1.0]), "weights/2/b": np.array([1e-6])}
    seen = {**want, "weights/2/b": np.array([1.1e-5])}
    assert checks.weight_errors(seen, want, {"b": np.zeros(1)}, 2) == pytest.approx({"b": 1e-5})


def test_what_rounding_has_cost_is_not_forgotten() -> None:
    """The float32 oracle parts from the true one and meets it again, by luck: the scale stays."""
    probe = Probe("met", small("circle"), ("drawn0", "drawn1"), outputs=True)
    outputs = np.array([[1.0], [2.0]])
    want = {"outputs/0": outputs, "outputs/1": outputs}
    low = {**want, "outputs/0": outputs * 1.01}
    seen = {**want, "outputs/1": outputs * 1.005}
    batches = {"drawn0/y": np.array([0.0, 1.0]), "drawn1/y": np.array([0.0, 1.0])}
    found = list(checks.compare(probe, seen, want, (low, want), {}, batches, "float32"))
    assert len(found) == 4 and all(check.passed for check in found)
