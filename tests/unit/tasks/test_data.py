"""The data sets, their normalization and their fit to the inputs of the tasks."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal, assert_equal
from scipy.ndimage import zoom

from crossframe.tasks import data, discover
from crossframe.tasks.data import images, points
from crossframe.tasks.spec import Task

TASKS = {name: presets["standard"] for name, presets in discover().items()}
ON_IMAGES = [task for task in TASKS.values() if data.SOURCES[task.data].white is not None]
ON_POINTS = [task for task in TASKS.values() if data.SOURCES[task.data].white is None]
CNN, AUTOENCODER = TASKS["cnn"], TASKS["autoencoder"]

by_name = functools.partial(pytest.mark.parametrize, ids=lambda task: task.name)


def test_the_parametrised_tests_find_tasks() -> None:
    assert len(ON_IMAGES) == 4
    assert len(ON_POINTS) == 1


# Points


def test_circle() -> None:
    split = data.load(TASKS["circle"])
    assert (len(split.x_train), len(split.x_test)) == (2048, 2000)
    for x, y in ((split.x_train, split.y_train), (split.x_test, split.y_test)):
        assert (str(x.dtype), str(y.dtype)) == ("float32", "int64")
        assert np.abs(x).max() <= 1
        assert_array_equal(y, np.hypot(x[:, 0], x[:, 1]) < 1)
        # The share of the square that the circle covers; its deviation is 0.009 for 2,000 points.
        assert_allclose(y.mean(), np.pi / 4, atol=0.03)
    assert not set(map(tuple, split.x_train)) & set(map(tuple, split.x_test))
    assert_array_equal(split.x_train, data.load(TASKS["circle"]).x_train)


def test_the_ten_points_are_those_of_the_text() -> None:
    split = data.load(discover()["circle"]["original"])
    before = np.random.get_state()
    np.random.seed(0)
    text = np.random.rand(10, 2) * 2 - 1
    np.random.set_state(before)
    assert_array_equal(split.x_train, text.astype(np.float32))
    assert_allclose(split.x_train[0], [0.09762701, 0.43037873], rtol=1e-6)
    assert_array_equal(split.y_train, [1, 1, 1, 1, 1, 1, 1, 0, 0, 1])
    assert_array_equal(split.x_test, data.load(TASKS["circle"]).x_test)


def test_no_source_draws_from_the_global_generator() -> None:
    np.random.rand()  # so that it does not stand where an earlier seed would put it again
    before = np.random.get_state()
    for task in TASKS.values():
        data.load(task)
    points.original()
    assert_equal(np.random.get_state(), before)


@by_name("task", ON_POINTS)
@pytest.mark.parametrize("source", data.SOURCES)
def test_a_task_on_points_keeps_its_points(task: Task, source: str) -> None:
    assert_array_equal(data.load(task, source).x_train, data.load(task).x_train)


def test_points_can_be_standardised_but_have_no_unit() -> None:
    x = data.load(replace(TASKS["circle"], normalization="standard")).x_train
    assert_allclose([x.mean(dtype=np.float64), x.std(dtype=np.float64)], [0, 1], atol=1e-6)
    with pytest.raises(ValueError, match="'standard' or 'raw'"):
        data.load(replace(TASKS["circle"], normalization="unit"))


# Digits


@by_name("task", ON_IMAGES)
def test_digits(task: Task) -> None:
    split = data.load(task)
    assert split.x_train.shape == (1437, *task.input_shape)
    assert split.x_test.shape == (360, *task.input_shape)
    assert split.x_train.dtype == split.x_test.dtype == np.float32
    if task.loss == "mean_squared_error":
        assert split.y_train is split.x_train
        assert split.y_test is split.x_test
    else:
        assert split.y_train.dtype == split.y_test.dtype == np.int64
        train, held_out = (np.bincount(y) / len(y) for y in (split.y_train, split.y_test))
        assert_allclose(held_out, train, atol=1 / 360)  # each digit as frequent in both, to one image


@by_name("task", ON_IMAGES)
def test_normalization(task: Task) -> None:
    raw, unit, standard = (data.load(replace(task, normalization=word)) for word in ("raw", "unit", "standard"))
    assert (raw.x_train.min(), raw.x_train.max()) == (0, 16)
    assert_allclose(unit.x_train, raw.x_train / 16)
    assert_allclose(unit.x_test, raw.x_test / 16)
    mean, deviation = unit.x_train.mean(dtype=np.float64), unit.x_train.std(dtype=np.float64)
    assert_allclose(standard.x_train, (unit.x_train - mean) / deviation, atol=1e-6)
    assert_allclose(standard.x_test, (unit.x_test - mean) / deviation, atol=1e-6)
    assert_allclose(standard.x_train.mean(dtype=np.float64), 0, atol=1e-6)
    assert_allclose(standard.x_train.std(dtype=np.float64), 1, atol=1e-6)


def test_digits_have_the_variance_and_the_linear_optimum_that_the_design_names() -> None:
    from sklearn.decomposition import PCA

    split = data.load(AUTOENCODER)
    assert_allclose(split.x_test.var(), 0.105, atol=5e-4)  # measured: 0.1054
    fitted = PCA(32, svd_solver="covariance_eigh").fit(split.x_train)
    again = fitted.inverse_transform(fitted.transform(split.x_test))
    assert_allclose(np.square(again - split.x_test).mean(), 0.00083, atol=1e-5)  # measured: 0.000833


# Images


def test_the_layouts_of_the_tasks_are_the_same_image() -> None:
    raw = {task.name: data.load(replace(task, normalization="raw")).x_test for task in ON_IMAGES}
    cnn, lstm, autoencoder = raw["cnn"], raw["lstm"], raw["autoencoder"].reshape(-1, 28, 28)
    assert_array_equal(cnn[:, 0], cnn[:, 1])
    assert_array_equal(cnn[:, 0], cnn[:, 2])
    # A pixel of the source covers 3 x 3 of 24 x 24, the middle one of which is the pixel itself.
    assert_array_equal(cnn[:, 0, 1::3, 1::3] % 1, 0)
    # The rows of lstm and autoencoder are the same, only wider: so are the means of a row.
    assert_allclose(lstm.mean(axis=2), autoencoder.mean(axis=2), atol=0.2)


@pytest.mark.parametrize("size", [(28, 28), (24, 24), (28, 100), (9, 8), (31, 8)])
def test_enlarging_is_that_of_scipy(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).uniform(0, 255, (8, 8)).astype(np.float32)
    resized = images.resize(image[np.newaxis, np.newaxis], *size)[0, 0]
    expected = zoom(image, np.array(size) / 8, order=1, grid_mode=True, mode="nearest")
    assert_allclose(resized, expected, atol=1e-4)  # float32; measured: 3e-5
    assert resized.min() >= image.min() - 1e-4
    assert resized.max() <= image.max() + 1e-4


def test_more_images_than_one_chunk() -> None:
    source = np.random.default_rng(0).integers(0, 256, (2 * images.CHUNK + 1, 1, 4, 4), np.uint8)
    together = images.fit(source, (3, 8, 8))
    assert_array_equal(together[-1], images.fit(source[-1:], (3, 8, 8))[0])
    assert_array_equal(together[images.CHUNK], images.fit(source[images.CHUNK :][:1], (3, 8, 8))[0])


def test_larger_images_are_cropped_to_the_middle() -> None:
    source = np.arange(3 * 32 * 32).reshape(1, 3, 32, 32) % 251
    assert_array_equal(images.fit(source, (3, 24, 24)), source[:, :, 4:28, 4:28])


def test_an_image_too_narrow_keeps_its_rows() -> None:
    source = np.random.default_rng(0).integers(0, 256, (1, 1, 28, 28))
    wide = images.fit(source, (28, 100))
    assert_allclose(wide[0, 5], images.bilinear(28, 100) @ source[0, 0, 5].astype(np.float32), rtol=1e-5)


def test_colour_becomes_luminance() -> None:
    red, green, blue = np.eye(3, dtype=np.uint8)[:, :, np.newaxis, np.newaxis] * 100
    colours = np.stack([red, green, blue, red + green + blue])
    assert_allclose(images.fit(colours, (1,))[:, 0], [29.9, 58.7, 11.4, 100], rtol=1e-6)


@pytest.mark.parametrize(("channels", "shape"), [(1, (2, 4, 4)), (2, (16,)), (4, (3, 4, 4))])
def test_other_numbers_of_channels_are_refused(channels: int, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="1 or 3 channels"):
        images.fit(np.zeros((1, channels, 4, 4), np.uint8), shape)


def test_a_flat_input_must_be_a_square() -> None:
    with pytest.raises(ValueError, match="no square image has 783 pixels"):
        images.fit(np.zeros((1, 1, 8, 8)), (783,))


# Names of sources


@by_name("task", TASKS.values())
def test_an_unknown_source_is_refused_and_the_known_ones_named(task: Task) -> None:
    with pytest.raises(ValueError, match="'imagenet'") as error:
        data.load(task, "imagenet")
    assert all(name in str(error.value) for name in data.SOURCES)


def test_a_task_may_not_name_an_unknown_source() -> None:
    with pytest.raises(ValueError, match="'imagenet'"):
        data.load(replace(CNN, data="imagenet"))


@by_name("task", ON_IMAGES)
def test_a_task_on_images_refuses_points(task: Task) -> None:
    with pytest.raises(ValueError, match="digits, mnist, cifar10"):
        data.load(task, "circle")
