"""The answers of timed predictions are checked, and no call has the inputs of another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crossframe.backends.reference.model import Model
from crossframe.harness.files import write_atomically
from crossframe.harness.plan.inputs import write_inputs
from crossframe.harness.run.inference_checks import check_answers, check_runtime_answers
from crossframe.harness.worker.archives import read_arrays, select_weights
from crossframe.harness.worker.epochs import prefix_names
from crossframe.harness.worker.infer import ANSWERS
from crossframe.harness.worker.measurements import TrainMeasurements
from crossframe.harness.worker.predictions import draw_rows, sample_batch_size, sample_inference
from crossframe.tasks import discover
from crossframe.tasks.spec import Arrays

pytestmark = pytest.mark.frameworks  # measures for seconds

TASK = discover()["circle"]["quick"]
SIZES = [1, 8, 700]  # more than there are held-out samples


class Recorder(Model):
    """The reference model, which keeps the inputs of its predictions."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.inputs: list[np.ndarray] = []

    def predict(self, x: np.ndarray) -> np.ndarray:
        self.inputs.append(x)
        return super().predict(x)


class Repeats(Model):
    """Gives the outputs of the first call for every later one of the same size."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.answers: dict[int, np.ndarray] = {}

    def predict(self, x: np.ndarray) -> np.ndarray:
        if len(x) not in self.answers:
            self.answers[len(x)] = super().predict(x)
        return self.answers[len(x)]


class OffForMany(Model):
    """Wrong by a thousandth for more than 100 samples."""

    def predict(self, x: np.ndarray) -> np.ndarray:
        return super().predict(x) * (1.001 if len(x) > 100 else 1.0)


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    write_inputs(tmp_path / "inputs.npz", TASK, None, None)
    return tmp_path / "inputs.npz"


def prepare(kind: Callable[..., Model], inputs: Path) -> tuple[Any, np.ndarray]:
    """Return a model with the weights of the inputs, and the held-out samples."""
    data = read_arrays(str(inputs))
    return kind(TASK, select_weights(data, TASK), np.dtype("float32"), {}), data["x_test"]


def leave_answers(kind: Callable[..., Model], inputs: Path) -> Path:
    """Do what an inference job does, and return the folder with its answers."""
    model, x_test = prepare(kind, inputs)
    answers: Arrays = {}
    for size in SIZES:
        answers |= prefix_names(str(size), sample_batch_size(model, x_test, size)[1].stack())
    write_atomically(inputs.parent / ANSWERS, answers)
    return inputs.parent


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Model, None),
        (Repeats, "timed predictions of 1 samples: off by"),
        (OffForMany, "timed predictions of 700 samples: off by"),
    ],
)
def test_answers_are_compared_with_the_reference_model(
    inputs: Path, kind: Callable[..., Model], reason: str | None
) -> None:
    failure = check_answers(leave_answers(kind, inputs), TASK, inputs, "float32", SIZES)
    assert failure is None if reason is None else reason in str(failure)


@pytest.mark.parametrize("name", ["1/rows", "8/factor", "700/outputs"])
def test_missing_answers_are_a_failure(inputs: Path, name: str) -> None:
    folder = leave_answers(Model, inputs)
    answers = read_arrays(str(folder / ANSWERS))
    del answers[name]
    write_atomically(folder / ANSWERS, answers)
    assert name in str(check_answers(folder, TASK, inputs, "float32", SIZES))
    (folder / ANSWERS).unlink()
    assert "can't be checked" in str(check_answers(folder, TASK, inputs, "float32", SIZES))


def test_rows_that_do_not_exist_are_a_failure(inputs: Path) -> None:
    folder = leave_answers(Model, inputs)
    answers = read_arrays(str(folder / ANSWERS))
    write_atomically(folder / ANSWERS, {**answers, "8/rows": answers["8/rows"] + 10**6})
    assert "can't be checked" in str(check_answers(folder, TASK, inputs, "float32", SIZES))


@pytest.mark.parametrize("size", SIZES)
def test_no_call_has_the_inputs_of_another(inputs: Path, size: int) -> None:
    model, x_test = prepare(Recorder, inputs)
    first_s, timed = sample_batch_size(model, x_test, size)
    assert first_s > 0
    assert len(timed.samples_s) >= 5
    assert all(len(x) == size for x in model.inputs)
    assert count_repeated(model.inputs) <= 1
    assert len(model.inputs) > len(timed.samples_s)


def count_repeated(inputs: Sequence[np.ndarray]) -> int:
    """Return how many inputs were there before: of a thousand, two agree by chance in one of a thousand jobs."""
    return len(inputs) - len({x.tobytes() for x in inputs})


def test_a_training_job_has_other_inputs_in_every_call(inputs: Path) -> None:
    model, x_test = prepare(Recorder, inputs)
    answers = sample_inference(model, x_test, TrainMeasurements())
    assert count_repeated(model.inputs) <= 1
    expected = model.predict(x_test[np.concatenate(answers["batch/rows"])])
    assert np.allclose(answers["batch/outputs"].reshape(expected.shape), expected)
    assert np.allclose(answers["single/outputs"], model.predict(answers["single/x"]))


def test_drawn_rows_can_be_made_again() -> None:
    x = np.arange(12, dtype=np.float32).reshape(6, 2)
    for size in (1, 6, 15):
        drawn, key = draw_rows(x, size, np.random.default_rng(0))
        assert np.array_equal(x[key["rows"]] * key["factor"], drawn)
        assert drawn.dtype == np.float32
    assert sorted(draw_rows(x, 6, np.random.default_rng(0))[1]["rows"]) == list(range(6))  # every row once


def test_the_outputs_of_a_runtime_are_compared_too(inputs: Path) -> None:
    model, x_test = prepare(Model, inputs)
    feeds = {f"8.{number}/x": draw_rows(x_test, 8, np.random.default_rng(number))[0] for number in (0, 1)}
    write_atomically(inputs.parent / "feeds.npz", feeds)
    outputs = {name.replace("/x", "/0"): model.predict(x) for name, x in feeds.items()}
    for change, reason in ((1.0, None), (1.01, "outputs for 8 samples: off by")):
        write_atomically(inputs.parent / "outputs.npz", {**outputs, "8.1/0": outputs["8.1/0"] * np.float32(change)})
        failure = check_runtime_answers(inputs.parent, TASK, inputs, inputs.parent / "feeds.npz")
        assert failure is None if reason is None else reason in str(failure)
