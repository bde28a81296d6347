"""Unequal resources or settings withhold the ranking."""

from dataclasses import replace
from typing import Any

import pytest

from crossframe.backends.contract import FrameworkSettings
from crossframe.harness.analysis import fairness, metrics, ranking
from crossframe.harness.records.model import Record
from tests.support.synthetic import make_receipt, make_repeats

FAST, SLOW = [1.0, 1.1, 1.0, 1.1, 1.0], [2.0, 2.1, 2.0, 2.1, 2.0]


def add_receipts(records: list[Record], **changes: Any) -> list[Record]:
    """Return the records, each with a receipt of a process of its own; `changes` replaces fields of the receipts."""
    return [
        replace(
            record,
            measurements=replace(
                record.measurements,
                receipt=make_receipt(**{"process": f"{record.cell.backend}{number}", **changes}),
            ),
        )
        for number, record in enumerate(records)
    ]


def test_equal_resources_are_ranked() -> None:
    records = add_receipts(make_repeats("a", FAST) + make_repeats("b", SLOW))
    assert fairness.differences(fairness.fairness_rows(records)) == []
    reports, _ = ranking.rank(metrics.build_cell_reports(records, {}), records)
    assert [report.metrics["train_samples_per_s"].tier for report in reports] == [1, 2]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"settings": FrameworkSettings(1, "float32")}, "uses 1 threads on 2 processors"),
        ({"settings": FrameworkSettings(2, "tf32")}, "multiplies float32 as tf32"),
        ({"cpus": [0]}, "not all had the same processors"),
        ({"thread_pools": {"OMP_NUM_THREADS": "1"}}, "not all had the same sizes of thread pools"),
        ({"process": "7-7"}, "ran 5 jobs in 1 processes"),
    ],
)
def test_unequal_resources_are_not_ranked(changes: dict[str, Any], line: str) -> None:
    records = add_receipts(make_repeats("a", FAST)) + add_receipts(make_repeats("b", SLOW), **changes)
    assert any(line in difference for difference in fairness.differences(fairness.fairness_rows(records)))
    reports, comparisons = ranking.rank(metrics.build_cell_reports(records, {}), records)
    assert comparisons == []
    metric = reports[0].metrics["train_samples_per_s"]
    assert metric.tier is None
    assert metric.tier_reason is not None
