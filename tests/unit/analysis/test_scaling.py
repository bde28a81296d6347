"""The exponent between two scales of a task."""

import pytest

from crossframe.harness.analysis.metrics import build_cell_reports
from crossframe.harness.analysis.model import CellReport, Metric
from crossframe.harness.analysis.scaling import classify_exponent
from crossframe.harness.records.model import Record, Roofline
from tests.support.synthetic import make_record


def make_scale(task: str, batch_size: int, flops: int, step_s: float = 0.01) -> Record:
    bounds = Roofline(flops, 10, None, 1e9)
    return make_record("a", 1, step_s, cell={"task": task, "batch_size": batch_size}, roofline=bounds)


def read_exponent(report: CellReport) -> Metric:
    return report.metrics["scaling_exponent"]


@pytest.mark.parametrize(
    ("factor", "exponent", "kind"), [(1, 0.0, "launch-bound"), (8, 0.5, "between"), (64, 1.0, "compute-bound")]
)
def test_the_exponent_compares_time_with_work(factor: int, exponent: float, kind: str) -> None:
    records = [make_scale("circle", 64, 10), make_scale("circle-x8", 512, 640, 0.01 * factor)]
    small, large = build_cell_reports(records, {})
    assert read_exponent(small).value == pytest.approx(exponent)
    assert classify_exponent(read_exponent(small).value or 0.0) == kind
    assert read_exponent(large).value is None
    assert small.metrics["compute_utilization"].value is None
    assert small.metrics["bandwidth_utilization"].value == pytest.approx(10 / 0.01 / 1e9)


def test_cells_whose_batches_do_not_grow_are_not_scales_of_each_other() -> None:
    """A circle twice as wide on half of the batch has no more to do, so nothing follows from it."""
    scales = (("circle", 8, 10), ("circle", 16, 20), ("circle-x2", 8, 20), ("circle-x2", 16, 40))
    reports = build_cell_reports([make_scale(*scale) for scale in scales], {})
    exponents = {(report.task, report.batch_size): read_exponent(report) for report in reports}
    # Beside circle-x2 at 16: the same time for four times the work.
    assert exponents["circle", 8].value == pytest.approx(0.0)
    assert exponents["circle", 16].value is None
    assert exponents["circle", 16].reason == "this run has no larger scale of this task"


def test_the_next_larger_scale_is_taken() -> None:
    records = [make_scale("circle", 8, 10), make_scale("circle-x4", 32, 160, 0.16), make_scale("circle-x2", 16, 40)]
    small = build_cell_reports(records, {})[0]
    assert small.task == "circle"
    assert read_exponent(small).value == pytest.approx(0.0)


def test_a_scale_that_was_not_measured_has_a_reason() -> None:
    small = make_scale("circle", 8, 10)
    large = make_record("a", 1, 0.01, cell={"task": "circle-x2", "batch_size": 16})  # without a roofline
    report = build_cell_reports([small, large], {})[0]
    assert read_exponent(report).value is None
    assert read_exponent(report).reason == "it, or the next larger scale of its task, was not measured"
