"""The cut of warm-up from the samples of a process."""

import numpy as np
import pytest

from crossframe.harness.analysis import statistics
from crossframe.harness.analysis.readers import read_train_samples_per_s
from crossframe.harness.worker.measurements import Epoch
from tests.support.synthetic import make_record


def test_compilation_does_not_count_as_steady() -> None:
    slow = [Epoch(1, 9.0, 10), Epoch(2, 3.0, 10)]
    even = [Epoch(epoch, 0.1, 10) for epoch in (3, 4)]
    record = make_record("a", 1, 0.01, measurements={"epochs": slow + even})
    assert read_train_samples_per_s(record) == pytest.approx(record.cell.batch_size / 0.01)


def test_only_a_slow_start_is_cut() -> None:
    even = 1 + 0.01 * np.random.default_rng(0).normal(size=200)
    slow = even.copy()
    slow[:20] += np.linspace(2, 0.1, 20)
    steady = statistics.steady(list(slow))
    assert 100 <= len(steady) <= 180
    assert abs(steady.mean() - even.mean()) < 0.005
    assert len(statistics.steady(list(even))) >= 100
    assert list(statistics.steady([5.0])) == [5.0]
