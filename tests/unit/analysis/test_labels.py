"""The text of cells and metrics."""

from dataclasses import replace

import pytest

from crossframe.harness.analysis.labels import cell_labels, format_metric
from crossframe.harness.analysis.model import Metric
from crossframe.harness.records.model import Cell


def test_a_label_holds_the_parts_that_vary_in_the_run() -> None:
    cnn = Cell("cnn", "a", "jit", "cpu", "float32", 64)
    cells = [cnn, replace(cnn, precision="bfloat16"), replace(cnn, task="lstm", batch_size=8)]
    labels = [" ".join(label) for label in cell_labels(cells)]
    assert labels == ["cnn a jit float32", "cnn a jit bfloat16", "lstm a jit"]
    sizes = [cnn, replace(cnn, batch_size=8)]
    assert [" ".join(label) for label in cell_labels(sizes)] == ["cnn a jit batch 64", "cnn a jit batch 8"]


@pytest.mark.parametrize(
    ("metric", "text"),
    [
        (Metric(None, reason="not measured"), "-"),
        (Metric(0.0125, n=1), "12.50"),
        (Metric(0.0125, 0.0120, 0.0135, 5), "12.50 ±8%"),
        (Metric(0.0125, 0.0100, 0.0130, 5), "12.50 ±20%"),
        (Metric(0.0125, 0.0100, 0.0300, 5), "12.50 ±>100%"),
        (Metric(0.0, 0.0, 0.0, 5), "0.00"),
    ],
)
def test_a_metric_is_shown_with_the_farther_end_of_its_interval(metric: Metric, text: str) -> None:
    assert format_metric(metric, 1e-3, 2) == text
