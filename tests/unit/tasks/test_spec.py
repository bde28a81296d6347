"""The task spec: shapes, names, JSON, and the tasks that are given."""

import json

import numpy as np
import pytest

from crossframe.tasks import CORE, discover, spec
from crossframe.tasks.describe import describe_task

ALL = [(name, preset) for name, presets in discover().items() for preset in presets]


def test_the_tasks_are_there_and_those_of_a_default_run_in_three_presets() -> None:
    assert set(CORE) == {"circle", "cnn", "lstm", "autoencoder"}
    assert set(discover()) == {*CORE, "resnet"}
    for name, presets in discover().items():
        assert set(presets) == {"quick", "standard", *(["original"] if name in CORE else [])}


@pytest.mark.parametrize(("name", "preset"), ALL)
def test_a_task_survives_json(name: str, preset: str) -> None:
    task = discover()[name][preset]
    assert spec.from_json(json.loads(json.dumps(spec.to_json(task)))) == task


def test_a_task_is_described_in_one_sentence() -> None:
    sentence = describe_task(discover()["cnn"]["standard"])
    assert sentence.startswith("digits, 3 x 24 x 24 values per sample; conv 32, relu, pool 2, conv 64, ")
    assert "by SGD in batches of 64, at most 15 epochs" in sentence
    assert sentence.endswith("; 6,896,128 operations per sample in the forward pass.")


def test_json_of_an_unknown_class_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="Attention"):
        spec.from_json({"type": "Attention", "heads": 8})


# Counted by hand from the layers of the design, not by the code under test.
PARAMETERS = {
    "circle": 2 * 16 + 16 + 16 + 1,
    "cnn": 3 * 9 * 32 + 32 + 32 * 9 * 64 + 64 + 2304 * 128 + 128 + 1280 + 10,
    "lstm": (100 + 256 + 1) * 1024 + (256 + 256 + 1) * 1024 + 2570,
    # The stem; blocks of 16, 32 and 64 channels, the last two with a projection; scale and shift of each of 9
    # normalizations; the classifier.
    "resnet": 9 * (3 * 16 + 2 * 16 * 16 + 16 * 32 + 32 * 32 + 32 * 64 + 64 * 64)
    + 16 * 32
    + 32 * 64
    + 2 * (3 * 16 + 3 * 32 + 3 * 64)
    + 650,
    "autoencoder": 784 * 400
    + 400
    + 400 * 200
    + 200
    + 200 * 32
    + 32
    + 32 * 200
    + 200
    + 200 * 400
    + 400
    + 400 * 784
    + 784,
}


@pytest.mark.parametrize("name", discover())
def test_parameters_are_those_of_the_design(name: str) -> None:
    task = discover()[name]["standard"]
    weights = spec.initial_weights(task, seed=0)
    assert {key: value.shape for key, value in weights.items()} == task.arrays()
    assert sum(weights[key].size for key in task.parameters()) == PARAMETERS[name]
    assert all(value.dtype == np.float32 for value in weights.values())


def test_initial_weights_are_drawn_from_the_seed_and_biases_are_zero() -> None:
    task = discover()["lstm"]["standard"]
    first, again, second = (spec.initial_weights(task, seed) for seed in (0, 0, 1))
    for name, value in first.items():
        np.testing.assert_array_equal(value, again[name])
        if name.endswith(".b"):
            assert not value.any()
        else:
            assert not np.array_equal(value, second[name])
    bound = np.sqrt(6 / (100 + 256))
    assert 0.99 * bound < np.abs(first["lstm1.w_x"]).max() <= bound


def test_a_layer_that_does_not_fit_says_so() -> None:
    task = spec.Task("bad", "digits", (1, 5, 5), (spec.MaxPool2D(2),), "mean_squared_error", spec.SGD(0.1), 1, 0.0)
    with pytest.raises(ValueError, match=r"MaxPool2D\(2\)"):
        task.output_shape()


def test_json_of_version_1_is_read() -> None:
    task = discover()["autoencoder"]["standard"]
    text = json.dumps(spec.to_json(task)).replace('"type"', '"is"').replace('"normalization"', '"scaling"')
    assert '"is"' in text
    assert '"scaling"' in text
    assert spec.from_json(json.loads(text)) == task
