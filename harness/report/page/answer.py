"""The first three sentences of the page: what to choose, what trains fastest where, and how far to trust it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from crossframe.harness.analysis.model import CellReport, RankedComparison
from crossframe.harness.decision.model import Decision, Verdict
from crossframe.harness.records.model import Family
from crossframe.harness.report.answer import describe_fastest, describe_success, describe_ties, join_names


def write_sentences(
    cells: Sequence[CellReport],
    comparisons: Sequence[RankedComparison],
    decision: Decision,
    use_case: str,
    labels: Mapping[Family, str],
) -> list[str]:
    """Return the answer in three sentences."""
    if not cells:
        return ["Nothing was measured yet.", "There is nothing to rank.", "Continue with `crossframe run --resume`."]
    speed = [describe_fastest(cells, comparisons, labels), describe_ties(cells, labels)]
    return [describe_decision(decision, use_case), " ".join(filter(None, speed)), describe_success(cells)]


def describe_decision(decision: Decision, use_case: str) -> str:
    """Return a decision as a sentence."""
    choice = join_names(decision.choice) if decision.choice else ""
    more = f"; about {decision.more_runs} more repeats would settle it" if decision.more_runs else ""
    sentence = {
        Verdict.CLEAR: f"For {use_case}, choose {choice}: {decision.reason}",
        Verdict.TIE: f"For {use_case}, {choice} tie: {decision.reason}",
        Verdict.DEPENDS: f"For {use_case} it depends: {decision.reason}",
        Verdict.NOT_ENOUGH_EVIDENCE: f"Not enough evidence to choose for {use_case}: {decision.reason}{more}",
        Verdict.NONE_FITS: f"For {use_case}, no candidate fits: {decision.reason}",
    }[decision.verdict]
    names = list(decision.excluded)
    verb = "are" if len(names) > 1 else "is"
    excluded = f"; {join_names(names)} {verb} excluded for the reasons below" if names else ""
    return f"{sentence}{excluded}."
