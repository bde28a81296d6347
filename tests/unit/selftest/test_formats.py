"""The text of a self-test and its failures."""

from dataclasses import replace

from crossframe.harness.selftest.formats import as_text, list_failures, summarize
from crossframe.harness.selftest.model import (
    PEAK_BYTES,
    STEP_S,
    ClockCheck,
    EqualPairs,
    KnownCost,
    SelftestReport,
    SlowedPairs,
)
from crossframe.harness.worker.states import State

REPORT = SelftestReport(
    known_costs=[KnownCost(STEP_S, 0.01, 0.0101, 0.01), KnownCost(PEAK_BYTES, 2**26, 2**26 + 1e6, 1e6)],
    clocks=[ClockCheck("a", "cpu", State.OK, None, 0.02, 0.01, 0.001)],
    equal=EqualPairs(5, 0),
    slower=SlowedPairs(0.05, 5, 5),
    smallest_slowdown=0.02,
    created="2026-11-21T00:00:00+00:00",
    rounds=12,
    candidate="a",
    device="cpu",
    titles={"b": "Beta"},
)


def test_a_report_without_errors_lists_no_failure() -> None:
    assert list_failures(REPORT) == []
    assert "FAILED" not in as_text(REPORT)


def test_a_cost_that_is_measured_too_small_is_a_failure() -> None:
    too_small = KnownCost(STEP_S, 0.01, 0.001, -0.9)
    assert list_failures(replace(REPORT, known_costs=[too_small])) == ["step_s of 0.01 is measured as 0.001"]


def test_a_clock_that_failed_is_a_failure_and_one_that_cannot_run_is_not() -> None:
    failed = ClockCheck("b", "cpu", State.FAILED, "a reason")
    unsupported = ClockCheck("c", "cuda:0", State.UNSUPPORTED, "another reason")
    report = replace(REPORT, clocks=[failed, unsupported])
    assert list_failures(report) == ["clock of Beta: a reason"]
    text = as_text(report)
    assert "FAILED clock of Beta: a reason" in text
    assert "clock of c            unsupported another reason" in text


def test_deviations_are_relative_for_seconds_and_absolute_for_bytes() -> None:
    text = as_text(REPORT)
    assert "+1.00%" in text
    assert "+1.00 MB" in text
    assert "a step takes 0.02 s of processor time, its operations at least 0.01 s; left after sync 0.1%" in text


def test_the_summary_names_the_smallest_slowdown_only_if_it_was_measured() -> None:
    assert "smallest detectable slowdown is about 2.0%" in summarize(REPORT)
    assert "smallest" not in summarize(replace(REPORT, smallest_slowdown=None))
