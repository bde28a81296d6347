"""The text of a self-test: the whole report, its failures, and a summary in one sentence."""

from __future__ import annotations

from collections.abc import Mapping

from crossframe.harness.selftest.clock import describe_time
from crossframe.harness.selftest.model import PEAK_BYTES, ClockCheck, KnownCost, SelftestReport
from crossframe.harness.worker.states import State

# Measuring less than 99 % of a known cost is an error of the measurement; measuring more may be noise of the machine.
LEAST_SHARE = 0.99


def list_failures(report: SelftestReport) -> list[str]:
    """Return the errors of the measurement that the self-test found, one sentence each; noise is not an error."""
    clocks = [
        f"clock of {report.titles.get(check.backend, check.backend)}: {check.reason}"
        for check in report.clocks
        if check.state == State.FAILED
    ]
    return clocks + [
        f"{cost.metric} of {cost.known:g} is measured as {cost.measured:g}"
        for cost in report.known_costs
        if cost.measured < LEAST_SHARE * cost.known
    ]


def as_text(report: SelftestReport) -> str:
    """Return the report as text for a terminal."""
    lines = [format_cost(cost) for cost in report.known_costs]
    lines += [format_clock(check, report.titles) for check in report.clocks]
    lines += [summarize(report), *(f"FAILED {failure}" for failure in list_failures(report))]
    return "\n".join(lines) + "\n"


def format_cost(cost: KnownCost) -> str:
    """Return a known cost and its measurement in one line."""
    deviation = f"{cost.deviation / 1e6:+.2f} MB" if cost.metric == PEAK_BYTES else f"{cost.deviation:+.2%}"
    holder = f"  ({cost.holder})" if cost.holder else ""
    return f"{cost.metric:<16} known {cost.known:<12g} measured {cost.measured:<12g} {deviation}{holder}"


def format_clock(check: ClockCheck, titles: Mapping[str, str]) -> str:
    """Return the check of a clock in one line; `titles` are those of the backends."""
    line = f"clock of {titles.get(check.backend, check.backend):<12} {check.state:<7} "
    if check.worked_s is not None:
        line += (
            f"a step takes {check.worked_s:.2g} s of {describe_time(check.device)}, its operations at least "
            f"{check.needed_s:.2g} s; left after sync {check.left_after_sync:.1%}"
        )
    return line + (check.reason or "" if check.state == State.UNSUPPORTED else "")


def summarize(report: SelftestReport) -> str:
    """Return one sentence on the differences that a run on this machine can detect."""
    equal, slower = report.equal, report.slower
    candidate = report.titles.get(report.candidate, report.candidate)
    sentence = (
        f"selftest with {candidate} on {report.device}, {report.rounds} processes per side: of {equal.pairs} "
        f"equal pairs {equal.called_different} were called different; of {slower.tries} slowed down by "
        f"{slower.slowdown:.0%}, {slower.detected} were detected"
    )
    if report.smallest_slowdown is not None:
        sentence += f"; in this noise the smallest detectable slowdown is about {report.smallest_slowdown:.1%}"
    return sentence
