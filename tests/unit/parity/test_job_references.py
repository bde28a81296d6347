"""The reference model's results for measured jobs, and their storage."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import crossframe.backends.reference.model as reference
from crossframe.harness.parity.job_references import JobReference
from crossframe.harness.parity.reference_cache import training_path
from crossframe.harness.plan.inputs import write_inputs
from crossframe.harness.worker.trainings import (
    FIRST_EPOCH,
    LATER_EPOCH,
    NEW_SAMPLES,
    ONE_BATCH,
    draw_factors,
    list_trainings,
    list_updates,
    scale_samples,
)
from crossframe.tasks import discover
from crossframe.tasks.spec import Arrays

CIRCLE = discover()["circle"]["quick"]


@pytest.fixture
def job_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> JobReference:
    """Return the reference of a measured job of `circle`, with an empty cache."""
    monkeypatch.setenv("CROSSFRAME_CACHE", str(tmp_path / "cache"))
    write_inputs(tmp_path / "inputs.npz", CIRCLE, None, None)
    return JobReference(CIRCLE, tmp_path / "inputs.npz", {}, "float32")


def train(job_reference: JobReference, rows: np.ndarray, factors: np.ndarray | None = None) -> Arrays:
    """Return the weights of the reference model after one call of `train`."""
    data = job_reference.data
    x = data["x_train"] if factors is None else scale_samples(data["x_train"], factors)
    model = reference.prepare(CIRCLE, job_reference.start, "cpu")
    model.train([model.put(x[batch], data["y_train"][batch]) for batch in rows])
    return model.weights()


@pytest.mark.parametrize("training", [FIRST_EPOCH, LATER_EPOCH, ONE_BATCH, NEW_SAMPLES])
def test_a_training_starts_from_the_initial_weights(job_reference: JobReference, training: str) -> None:
    order = job_reference.data["order"]
    expected, rows = job_reference.expect_weights(training), list_trainings(order)[training]
    factors = draw_factors(len(job_reference.data["x_train"])) if training == NEW_SAMPLES else None
    for updates in list_updates(training, order):
        for name, value in train(job_reference, rows[:updates], factors).items():
            assert_allclose(expected[f"weights/{updates}/{name}"], value, rtol=1e-12, err_msg=name)


def test_new_samples_are_computed_as_they_were_drawn(job_reference: JobReference) -> None:
    generator = np.random.default_rng(1)
    factors = draw_factors(len(job_reference.data["x_train"]), generator)
    rows = generator.permutation(list_trainings(job_reference.data["order"])[NEW_SAMPLES])
    expected, usual = job_reference.expect_new_samples(rows, factors), job_reference.expect_weights(NEW_SAMPLES)
    for name, value in train(job_reference, rows, factors).items():
        assert_allclose(expected[f"weights/{len(rows)}/{name}"], value, rtol=1e-12, err_msg=name)
        assert not np.allclose(usual[f"weights/{len(rows)}/{name}"], value, rtol=1e-6)


def test_a_task_of_one_epoch_repeats_it() -> None:
    order = np.arange(12).reshape(1, 3, 4)
    trainings = list_trainings(order)
    assert_array_equal(trainings[LATER_EPOCH], order[0])
    assert len(trainings[ONE_BATCH]) == 8
    assert list_updates(ONE_BATCH, order) == (4, 8)


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 torn"])
def test_a_damaged_result_is_computed_again(job_reference: JobReference, damage: bytes) -> None:
    first = job_reference.expect_weights(FIRST_EPOCH)
    path = training_path(CIRCLE, job_reference.inputs, {}, FIRST_EPOCH)
    path.write_bytes(damage)
    again = job_reference.expect_weights(FIRST_EPOCH)
    assert first.keys() == again.keys()
    assert path.stat().st_size > len(damage)


def test_rounding_costs_something_in_float32_and_nothing_is_known_of_it_in_float64(job_reference: JobReference) -> None:
    cost = job_reference.expect_rounding(FIRST_EPOCH, len(job_reference.data["order"][0]))
    assert cost is not None
    assert 0 < cost < 1e-2
    exact = JobReference(CIRCLE, job_reference.inputs, {}, "float64")
    assert exact.expect_rounding(FIRST_EPOCH, 1) is None
