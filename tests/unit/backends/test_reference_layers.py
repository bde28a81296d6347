"""The layers of the reference model agree with finite differences, and their settings with formulas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from crossframe.backends.reference import prepare
from crossframe.backends.reference.layers import LAYERS
from crossframe.backends.reference.model import Model
from crossframe.tasks import spec
from crossframe.tasks.spec import Layer, Task
from tests.support.layer_cases import ACTIVATIONS, CASES, CONVOLUTIONS, IMAGE, draw_arrays, draw_batches, make_task

STEP = 1e-6


def prepare_case(name: str, **settings: Any) -> tuple[Model, tuple[np.ndarray, np.ndarray]]:
    task = make_task(name)
    model = prepare(task, draw_arrays(task), "cpu", **settings)
    x, y = draw_batches(1)[0]
    return model, (x.astype(np.float64), y)


def test_the_cases_have_every_layer() -> None:
    kinds = {type(layer) for name in CASES for _, layer, _ in make_task(name).walk_leaves()}
    assert kinds | {spec.MaxPool2D, spec.LSTM, spec.LastStep} == set(LAYERS)


@pytest.mark.parametrize("name", CASES)
def test_gradients_of_parameters_agree_with_finite_differences(name: str) -> None:
    model, (x, y) = prepare_case(name)
    gradients = model.gradients(x, y)
    assert gradients.keys() == model.task.parameters().keys()
    generator = np.random.default_rng(1)
    for parameter, value in model.parameters.items():
        for _ in range(8):
            index = tuple(int(generator.integers(length)) for length in value.shape)
            middle, losses = value[index], []
            for moved in (middle + STEP, middle - STEP):
                value[index] = moved
                losses.append(model.loss(x, y))
            value[index] = middle
            # Central differences err by step^2 and by rounding / step; measured: at most 2e-9.
            difference = (losses[0] - losses[1]) / (2 * STEP)
            assert_allclose(difference, gradients[parameter][index], atol=1e-8, err_msg=parameter)


@pytest.mark.parametrize(
    "layer", [*CONVOLUTIONS.values(), spec.AveragePool2D(2), spec.GlobalAveragePool(), spec.BatchNorm()]
)
def test_gradients_of_inputs_agree_with_finite_differences(layer: Layer) -> None:
    generator = np.random.default_rng(2)
    task = Task("one", "digits", IMAGE, (layer,), "mean_squared_error", spec.SGD(0.1), 1, 0.0)
    p = {name.partition(".")[2]: value.astype(np.float64) for name, value in draw_arrays(task).items()}
    x = generator.normal(size=(3, *IMAGE))
    forward, backward = LAYERS[type(layer)]
    y, cache = forward(layer, p, x)
    assert y.shape == (3, *task.output_shape())
    weights = generator.normal(size=y.shape)
    dx, _ = backward(layer, p, cache, weights)
    for _ in range(20):
        index = tuple(int(generator.integers(length)) for length in x.shape)
        ends = []
        for sign in (1, -1):
            moved = x.copy()
            moved[index] += sign * STEP
            ends.append(float((forward(layer, p, moved)[0] * weights).sum()))
        assert_allclose((ends[0] - ends[1]) / (2 * STEP), dx[index], atol=1e-7)


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_a_convolution_is_its_sum(name: str) -> None:
    layer = CONVOLUTIONS[name]
    model, (x, _) = prepare_case(f"convolution, {name}")
    w, y = model.parameters["conv1.w"], model.trace_layers(x)[0].outputs
    (above, _), (left, _) = layer.around
    generator = np.random.default_rng(3)
    for _ in range(20):
        batch, out, row, column = (int(generator.integers(length)) for length in y.shape)
        members = layer.filters // layer.groups
        expected = model.parameters["conv1.b"][out] if layer.bias else 0.0
        for channel in range(w.shape[1]):
            for i in range(layer.size):
                for j in range(layer.size):
                    place = (
                        row * layer.stride + i * layer.dilation - above,
                        column * layer.stride + j * layer.dilation - left,
                    )
                    if 0 <= place[0] < IMAGE[1] and 0 <= place[1] < IMAGE[2]:
                        source = out // members * w.shape[1] + channel
                        expected += w[out, channel, i, j] * x[(batch, source, *place)]
        assert_allclose(y[batch, out, row, column], expected, atol=1e-12)


def test_activations_are_their_formulas() -> None:
    x = np.array([-3.0, -0.5, 0.0, 0.5, 3.0])
    expected = {
        "ReLU": [0, 0, 0, 0.5, 3],
        "LeakyReLU": [-0.3, -0.05, 0, 0.5, 3],
        "ELU": [np.exp(-3) - 1, np.exp(-0.5) - 1, 0, 0.5, 3],
        "Sigmoid": 1 / (1 + np.exp(-x)),
        "Tanh": np.tanh(x),
        "SiLU": x / (1 + np.exp(-x)),
        # The distribution function of the normal distribution at 0.5 and 3, from a table.
        "GELU": [-3 * 0.0013498980, -0.5 * 0.3085375387, 0, 0.5 * 0.6914624613, 3 * 0.9986501020],
        "Softplus": np.log(1 + np.exp(x)),
    }
    for name, values in expected.items():
        layer = ACTIVATIONS[name]
        assert_allclose(LAYERS[type(layer)][0](layer, {}, x)[0], values, atol=1e-9, err_msg=name)
    exact, tanh = (LAYERS[spec.GELU][0](spec.GELU(approximate), {}, x)[0] for approximate in (False, True))
    assert 1e-5 < np.abs(exact - tanh).max() < 1e-3


def test_a_batch_is_normalized_and_its_statistics_are_remembered() -> None:
    task = Task("one", "digits", IMAGE, (spec.BatchNorm(1e-3, 0.75),), "mean_squared_error", spec.SGD(0.0), 1, 0.0)
    model = prepare(task, spec.initial_weights(task, 0), "cpu")
    x = 3 + 2 * np.random.default_rng(0).normal(size=(5, *IMAGE))
    y, _ = model.forward(task.layers, task.input_shape, "", x)
    assert_allclose(y.mean(axis=(0, 2, 3)), 0, atol=1e-12)
    assert_allclose(y.var(axis=(0, 2, 3)), x.var(axis=(0, 2, 3)) / (x.var(axis=(0, 2, 3)) + 1e-3))
    assert_allclose(model.predict(x), x / np.sqrt(1 + 1e-3))  # by the statistics of the start
    model.train([model.put(x, x)])
    assert_allclose(model.buffers()["norm1.mean"], 0.25 * x.mean(axis=(0, 2, 3)))
    assert_allclose(model.buffers()["norm1.variance"], 0.75 + 0.25 * x.var(axis=(0, 2, 3)))
    unbiased = prepare(task, spec.initial_weights(task, 0), "cpu", dialect={"running_variance": "unbiased"})
    unbiased.train([unbiased.put(x, x)])
    assert_allclose(unbiased.buffers()["norm1.variance"], 0.75 + 0.25 * x.var(axis=(0, 2, 3), ddof=1))


def test_gradients_alone_change_no_statistics() -> None:
    model, (x, y) = prepare_case("batch normalization")
    before = model.buffers()
    model.gradients(x, y)
    model.predict(x)
    for name, value in model.buffers().items():
        assert_array_equal(value, before[name])


def test_a_checkpoint_brings_the_running_statistics_back(tmp_path: Path) -> None:
    model, batch = prepare_case("residual with projection")
    model.train([batch])
    model.save(tmp_path)
    kept = model.buffers()
    assert len(kept) == 6
    model.train([batch])
    model.load(tmp_path)
    for name, value in model.buffers().items():
        assert_array_equal(value, kept[name])


def test_the_shortcut_is_added() -> None:
    model, (x, _) = prepare_case("residual in residual")
    traced = {layer.name: layer for layer in model.trace_layers(x)}
    inner = traced["block1.block1.tanh1"].outputs + x
    assert_array_equal(traced["block1.conv1"].inputs, inner)
    assert_array_equal(traced["flatten1"].inputs, traced["block1.conv1"].outputs + x)


def test_nesterov_takes_the_gradient_once_more() -> None:
    task = Task(
        "one", "circle", (3,), (spec.Dense(2),), "mean_squared_error", spec.SGD(0.1, 0.5, nesterov=True), 1, 0.0
    )
    model = prepare(task, spec.initial_weights(task, 0), "cpu")
    before = model.weights()["dense1.w"]
    ones = {name: np.ones_like(value) for name, value in model.parameters.items()}
    model.update(ones)
    assert_allclose(before - model.weights()["dense1.w"], 0.1 * (1 + 0.5 * 1))
    model.update(ones)
    assert_allclose(before - model.weights()["dense1.w"], 0.1 * (1 + 0.5 * 1) + 0.1 * (1 + 0.5 * 1.5))
