"""How long a training lasts that is not complete."""

import pytest

from crossframe.harness.worker.epochs import count_missing_epochs, is_over
from crossframe.harness.worker.measurements import Epoch, TrainMeasurements
from crossframe.tasks import discover

CIRCLE = discover()["circle"]["standard"]


def make_epochs(*seconds: float) -> list[Epoch]:
    return [Epoch(number, train_s, 10) for number, train_s in enumerate(seconds, start=1)]


@pytest.mark.parametrize(
    ("seconds", "over"),
    [
        ((0.1, 0.1, 0.1), False),
        ((0.1, 0.1, 0.1, 0.1), False),  # four, but of less than a second
        ((0.3, 0.3, 0.3), False),
        ((0.3, 0.3, 0.3, 0.3), True),
        ((3.0,), False),  # may be warm-up
        ((0.9, 1.0), False),
        ((1.0, 1.1), True),
    ],
)
def test_a_training_ends_when_there_is_enough_to_time(seconds: tuple[float, ...], over: bool) -> None:
    measurements = TrainMeasurements(epochs=make_epochs(*seconds))
    assert is_over(CIRCLE, measurements, sum(seconds), complete=False) == over
    assert not is_over(CIRCLE, measurements, sum(seconds), complete=True)


def test_the_time_of_compilation_is_no_time_of_epochs() -> None:
    assert not is_over(CIRCLE, TrainMeasurements(epochs=make_epochs(0.3, 0.3)), 5.0, complete=False)


@pytest.mark.parametrize(
    ("seconds", "step_s", "missing"),
    [
        ((), 0.1, 4),
        ((0.1,), 0.01, 3),
        ((0.1, 0.1, 0.1, 0.1), 0.01, 0),
        ((1.0, 1.1), 0.11, 0),
        ((5.0, 5.0), 0.11, 2),  # both compiled: their steps are slower than single ones
        ((5.0, 5.0, 1.1), 0.11, 1),
    ],
)
def test_epochs_that_are_missing_to_tell_the_steady_ones(
    seconds: tuple[float, ...], step_s: float, missing: int
) -> None:
    assert count_missing_epochs(make_epochs(*seconds), [step_s]) == missing
