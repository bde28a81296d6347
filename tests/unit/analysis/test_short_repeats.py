"""Repeats that train only as long as timing needs are timed like the others; they have no quality and no export."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crossframe.harness.analysis.metrics import METRICS, build_cell_reports
from crossframe.harness.analysis.ranking import by_cell, rank
from crossframe.harness.analysis.statistics import fewest_rounds
from crossframe.harness.decision.candidates import list_candidates
from crossframe.harness.decision.regressions import find_regressions
from crossframe.harness.plan.plan import ENOUGH_REPEATS, add_repeats, default_repeats, interleave
from crossframe.harness.records.model import Evaluation, Record, RunOptions
from tests.support.synthetic import make_repeats

BACKENDS = ("torch", "tensorflow", "mxnet", "jax")


def shorten(record: Record) -> Record:
    """Return a record as a repeat that does not train to the end has it."""
    measurements = replace(record.measurements, time_to_target_s=None, checkpoint_bytes=None)
    return replace(
        record,
        complete=False,
        measurements=measurements,
        evaluation=Evaluation(quality={}, first_epoch_gap=1e-6, onnx=None),
    )


def make_cell(backend: str, step_s: float, repeats: int = 5) -> list[Record]:
    """Return the records of one cell, of which the first trains to the end."""
    first, *others = make_repeats(backend, [step_s * (1 + 0.001 * number) for number in range(repeats)])
    return [first, *map(shorten, others)]


RECORDS = [record for number, backend in enumerate(BACKENDS) for record in make_cell(backend, 0.001 * (1 + number))]


def test_the_default_can_rank_four_candidates() -> None:
    assert fewest_rounds(6) == ENOUGH_REPEATS
    assert default_repeats(RunOptions()) == ENOUGH_REPEATS
    assert default_repeats(RunOptions(preset="quick")) == 1
    assert default_repeats(RunOptions(time_budget_s=60.0)) == 1
    reports, _ = rank(build_cell_reports(RECORDS, {}), RECORDS)
    assert {report.backend: report.metrics["train_samples_per_s"].tier for report in reports} == {
        "torch": 1,
        "tensorflow": 2,
        "mxnet": 3,
        "jax": 4,
    }


@pytest.mark.parametrize("name", ["accuracy", "time_to_target_s", "onnx_bytes", "export_s"])
def test_what_only_a_whole_training_has_is_of_the_whole_trainings(name: str) -> None:
    (report,) = build_cell_reports(make_cell("torch", 0.001), {})
    assert report.metrics[name].value == METRICS[name].read(make_cell("torch", 0.001)[0])
    assert report.onnx is not None


def test_quality_is_not_ranked_by_one_training() -> None:
    reports, _ = rank(build_cell_reports(RECORDS, {}), RECORDS)
    assert {report.metrics["accuracy"].tier_reason for report in reports} == {
        "not enough evidence: 1 of at least 5 repeats"
    }


def test_a_decision_counts_the_whole_training_in_every_round() -> None:
    candidates = list_candidates(RECORDS, {})
    assert all(candidate.excluded is None for candidate in candidates)
    for candidate in candidates:
        assert set(candidate.points_by_round["time_to_target_s"]) == set(range(1, ENOUGH_REPEATS + 1))
        assert len({*candidate.points_by_round["time_to_target_s"].values()}) == 1


def test_what_a_short_repeat_lacks_is_no_regression() -> None:
    complete = make_repeats("torch", [0.001] * 5)
    assert find_regressions(by_cell(complete), by_cell(make_cell("torch", 0.001)), {}) == []
    lost = replace(make_cell("torch", 0.001)[0].measurements, time_to_target_s=None)
    first, *others = make_cell("torch", 0.001)
    found = find_regressions(by_cell(complete), by_cell([replace(first, measurements=lost), *others]), {})
    assert [regression.kind for regression in found] == ["target"]


def test_further_repeats_follow_those_of_the_run() -> None:
    cells = list(dict.fromkeys(record.cell for record in RECORDS))
    jobs = tuple(interleave(cells, 2))
    more = add_repeats(jobs, 4)
    assert more[: len(jobs)] == jobs
    assert {job.repeat for job in more[len(jobs) :]} == {3, 4}
    assert len({job.name for job in more}) == len(more) == 4 * len(cells)
    assert add_repeats(jobs, 1) == jobs
