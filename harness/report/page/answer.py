"""The first sentence of the page: what to choose."""

from __future__ import annotations

from collections.abc import Sequence

from crossframe.harness.analysis.model import CellReport
from crossframe.harness.decision.model import Decision, Verdict
from crossframe.harness.report.answer import join_names
from crossframe.harness.report.model import RunSummary


def write_headline(run: RunSummary, cells: Sequence[CellReport], decision: Decision, use_case: str) -> str:
    """Return the decision of a use case, or that there is nothing to decide on yet, with the command for more."""
    command = f"crossframe run --resume results/{run.name}"
    if not cells:
        return f"Nothing was measured yet: continue with {command}."
    more = f" To measure them: {command} --repeats {run.repeats + decision.more_runs}" if decision.more_runs else ""
    return describe_decision(decision, use_case) + more


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
