"""Layers of images and layers that hold layers: shapes, names, counts of operations, and errors."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

from crossframe.harness.analysis.roofline import train_bytes
from crossframe.harness.records.task_specs import check_spec
from crossframe.tasks import spec
from crossframe.tasks.describe import describe_task
from crossframe.tasks.spec import Layer, Task
from crossframe.tasks.widen import widen
from tests.support.layer_cases import CASES, CONVOLUTIONS, IMAGE, make_task

NESTED = make_task("residual with projection")


def one_layer(layer: Layer, shape: tuple[int, ...] = IMAGE) -> Task:
    return Task("one", "digits", shape, (layer,), "mean_squared_error", spec.SGD(0.1), 1, 0.0)


@pytest.mark.parametrize("name", CASES)
def test_a_network_survives_json_and_is_a_valid_specification(name: str) -> None:
    task = make_task(name)
    stored = json.loads(json.dumps(spec.to_json(task)))
    assert spec.from_json(stored) == task
    check_spec(stored)


def test_shapes_of_convolutions_are_those_of_their_arithmetic() -> None:
    expected = {
        "stride": (6, 4, 4), "projection": (6, 4, 4), "wide padding": (6, 10, 10), "rows and columns": (6, 8, 10),
        "asymmetric": (6, 7, 8), "asymmetric stride": (6, 4, 4), "groups": (6, 8, 8), "depthwise": (4, 8, 8),
        "asymmetric groups": (6, 4, 4), "dilation": (6, 8, 8), "dilated groups": (6, 8, 8), "dilated stride": (6, 4, 4),
    }  # fmt: skip
    assert {name: layer.output_shape(IMAGE) for name, layer in CONVOLUTIONS.items()} == expected


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (spec.Conv2D(4, 3, 0), (8,), "Conv2D needs an input of .channels, height, width., not .8,."),
        (spec.Conv2D(4, 3, 0), (3, 2, 2), "windows of 3 rows do not fit"),
        (spec.Conv2D(4, 3, 0, dilation=4), (3, 8, 8), "windows of 9 rows do not fit"),
        (spec.Conv2D(4, 3, 1, groups=2), (3, 8, 8), "3 channels and 4 filters do not split into 2 groups"),
        (spec.Conv2D(4, 3, 1, stride=0), (3, 8, 8), "stride, dilation and groups are at least 1"),
        (spec.Conv2D(4, 3, -1), (3, 8, 8), "paddings at least 0"),
        (spec.AveragePool2D(3), (3, 8, 8), r"AveragePool2D\(3\) needs"),
        (spec.GlobalAveragePool(), (3,), "GlobalAveragePool needs"),
        (spec.BatchNorm(), (3,), "BatchNorm needs"),
        (spec.Residual((spec.Conv2D(4, 3, 1),)), (3, 8, 8), "the body of a Residual gives .4, 8, 8. and its shortcut"),
    ],
)
def test_a_layer_that_does_not_fit_says_why(layer: Layer, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        one_layer(layer, shape).output_shape()


def test_names_follow_the_tree() -> None:
    body, shortcut = "block1.", "block1.shortcut."
    norm = ("norm1.scale", "norm1.shift")
    assert list(NESTED.parameters()) == [
        f"{body}conv1.w", *(body + name for name in norm), f"{body}conv2.w", f"{body}norm2.scale", f"{body}norm2.shift",
        f"{shortcut}conv1.w", *(shortcut + name for name in norm), "dense1.w", "dense1.b",
    ]  # fmt: skip
    assert list(NESTED.buffers()) == [
        f"{part}.{name}" for part in ("block1.norm1", "block1.norm2", "block1.shortcut.norm1")
        for name in ("mean", "variance")
    ]  # fmt: skip
    inner = make_task("residual in residual").parameters()
    assert list(inner)[:2] == ["block1.block1.conv1.w", "block1.block1.conv1.b"]
    assert NESTED.arrays() == NESTED.parameters() | NESTED.buffers()


def test_scales_and_variances_start_at_one() -> None:
    start = spec.initial_weights(NESTED, 0)
    for name in ("scale", "variance", "shift", "mean"):
        values = start[f"block1.norm2.{name}"]
        assert values.dtype == np.float32
        assert_allclose(values, float(name in ("scale", "variance")))
    bound = math.sqrt(6 / (4 * 9 + 6 * 9))
    assert 0.95 * bound < np.abs(start["block1.conv1.w"]).max() <= bound


def test_operations_are_counted_for_each_use_of_a_weight() -> None:
    # 16 positions of windows of 2 channels, in each of 6 filters; then 6 * 16 inputs of 3 classes.
    assert make_task("convolution, asymmetric groups").flops() == 2 * (16 * 6 * 2 * 9 + 6 * 16 * 3)
    expected = 16 * (6 * 4 * 9 + 6 * 6 * 9 + 6 * 4 + 3 * 6) + 6 * 3
    assert NESTED.flops() == 2 * expected
    parameters = 6 * 4 * 9 + 6 * 6 * 9 + 6 * 4 + 3 * 12 + 18 + 3
    assert train_bytes(NESTED, "float32") == 4 * (3 * parameters + 2 * 3 * 12)


def test_a_wider_network_has_wider_blocks() -> None:
    wide = widen(NESTED, 2)
    assert wide.parameters()["block1.conv2.w"] == (12, 12, 3, 3)
    assert wide.parameters()["block1.shortcut.norm1.scale"] == (12,)
    assert wide.output_shape() == NESTED.output_shape()


def test_a_block_is_described_with_its_layers() -> None:
    assert "; block (conv 6, norm, tanh, conv 6, norm + conv 6, norm), average, dense 3; " in describe_task(NESTED)


def test_has_looks_into_blocks() -> None:
    assert NESTED.has(spec.Tanh)
    assert not NESTED.has(spec.ReLU, spec.LSTM)


def test_the_cosine_rises_in_a_line_and_falls_to_zero() -> None:
    schedule = spec.CosineSchedule(12, warm_up=4)
    factors = [schedule.factor(update) for update in range(14)]
    assert_allclose(factors[:5], [0.25, 0.5, 0.75, 1, 1])
    assert_allclose(factors[8], 0.5)
    assert_allclose(factors[6], (1 + math.sqrt(0.5)) / 2)
    assert_allclose(factors[12:], 0)
    assert factors[11] > 0
    assert_allclose(spec.CosineSchedule(4).factor(0), 1)
    assert_allclose([spec.StepSchedule(2, 0.5).factor(update) for update in range(5)], [1, 1, 0.5, 0.5, 0.25])
