"""The Parquet table of raw samples."""

import io
from typing import Any

import pytest

from crossframe.harness.records.parquet import make_rows, to_parquet
from crossframe.harness.worker.measurements import EvaluationPoint
from tests.support.synthetic import make_record, make_repeats

STEPS_S = (0.010, 0.0101, 0.0099)


def test_every_number_is_a_row() -> None:
    point = EvaluationPoint(epoch=1, loss=0.5, train_loss=None, quality={"accuracy": 0.9}, train_s=1.0)
    rows = make_rows(make_record("a", 2, 0.01, measurements={"curve": [point]}))
    values = {(row[-3], row[-2]): row[-1] for row in rows}
    assert all(row[:8] == ("circle", "a", "eager", "cpu", "float32", 64, 2, "ok") for row in rows)
    assert values["step_samples_s", 2] == 0.01
    assert values["curve.accuracy", 0] == 0.9
    assert values["epochs.train_s", 4] == pytest.approx(0.1)
    assert ("curve.train_loss", 0) not in values
    assert ("placement", 0) not in values


def test_the_table_is_read_back() -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra `parquet` is not installed")
    content = to_parquet(make_repeats("a", STEPS_S))
    table: list[dict[str, Any]] = parquet.read_table(io.BytesIO(content)).to_pylist()
    rows = [row for row in table if (row["repeat"], row["metric"]) == (2, "step_samples_s")]
    assert [(row["index"], row["value"]) for row in rows] == [(0, STEPS_S[1]), (1, STEPS_S[1]), (2, STEPS_S[1])]


def test_a_run_without_records_has_an_empty_table() -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra `parquet` is not installed")
    assert parquet.read_table(io.BytesIO(to_parquet([]))).num_rows == 0
