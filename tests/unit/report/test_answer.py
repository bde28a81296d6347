"""The command that a run ends with: the one that would decide more."""

from __future__ import annotations

from crossframe.harness.analysis.metrics import build_cell_reports
from crossframe.harness.analysis.ranking import rank
from crossframe.harness.plan.plan import ENOUGH_REPEATS
from crossframe.harness.records.model import Record
from crossframe.harness.report.answer import MOST_REPEATS, count_needed_repeats
from tests.support.synthetic import make_repeats

RECORDS = [
    record
    for factor, backend in enumerate(("torch", "tensorflow", "mxnet", "jax"), start=1)
    for record in make_repeats(backend, [0.001 * factor * (1 + 0.001 * number) for number in range(ENOUGH_REPEATS)])
]


def test_the_next_command_is_the_one_that_brings_evidence() -> None:
    def needed(records: list[Record]) -> int | None:
        reports, comparisons = rank(build_cell_reports(records, {}), records)
        return count_needed_repeats(reports, comparisons, max(record.repeat for record in records))

    assert needed(RECORDS) is None
    assert needed([record for record in RECORDS if record.repeat <= 2]) == ENOUGH_REPEATS
    noise = (1.0, 1.03, 0.98, 1.02, 0.99)
    close = [
        record
        for backend, factor in (("torch", 1.0), ("jax", 1.02))
        for record in make_repeats(backend, [0.001 * factor * each for each in noise[:: -1 if factor > 1 else 1]])
    ]
    more = needed(close)
    assert more is not None
    assert ENOUGH_REPEATS < more <= ENOUGH_REPEATS + MOST_REPEATS
