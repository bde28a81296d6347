"""The first three sentences of the page: what to choose, what trains fastest where, and how far to trust it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from crossframe.harness.analysis.model import CellReport
from crossframe.harness.analysis.ranking import group_by_family, is_verified
from crossframe.harness.decision.model import Decision, Verdict
from crossframe.harness.records.model import Family
from crossframe.harness.worker.states import State

SPEED = "train_samples_per_s"
FIRST = 4  # names of a long list that are written out


def write_sentences(
    cells: Sequence[CellReport], decision: Decision, use_case: str, labels: Mapping[Family, str]
) -> list[str]:
    """Return the answer in three sentences."""
    if not cells:
        return ["Nothing was measured yet.", "There is nothing to rank.", "Continue with `crossframe run --resume`."]
    return [describe_decision(decision, use_case), describe_fastest(cells, labels), describe_trust(cells)]


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


def describe_fastest(cells: Sequence[CellReport], labels: Mapping[Family, str]) -> str:
    """Return what trains fastest on which workload, from tiers alone."""
    winners: dict[str, list[str]] = {}
    unranked = []
    for family, members in group_by_family(cells).items():
        first = [cell.cell.variant for cell in members if cell.metrics[SPEED].tier == 1]
        if first:
            winners.setdefault(first[0] if len(first) == 1 else f"a tie of {join_names(first)}", []).append(
                labels[family]
            )
        else:
            unranked.append(labels[family])
    if not winners:
        reasons = (cell.metrics[SPEED].tier_reason for cell in cells)
        return f"No training speed is ranked: {next(filter(None, reasons), 'nothing was measured')}."
    clauses = [f"{variant} ({shorten_list(workloads)})" for variant, workloads in winners.items()]
    rest = f" Not ranked: {shorten_list(unranked)}." if unranked else ""
    return f"Fastest in training, beyond the noise: {'; '.join(clauses)}.{rest}"


def describe_trust(cells: Sequence[CellReport]) -> str:
    """Return how many cells succeeded and were verified."""
    succeeded = [cell for cell in cells if cell.state == State.OK]
    verified = [cell for cell in succeeded if is_verified(cell)]
    if len(verified) == len(cells):
        return f"All {len(cells)} cells succeeded and were verified to compute the same before they were measured."
    return (
        f"{len(succeeded)} of {len(cells)} cells succeeded and {len(verified)} were verified to compute the same; "
        "the others are shown, not ranked."
    )


def join_names(names: Sequence[str]) -> str:
    """Return `a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def shorten_list(names: Sequence[str]) -> str:
    """Return the first names of a list that may be long, and how many follow."""
    return ", ".join(names[:FIRST]) + (f" and {len(names) - FIRST} more" if len(names) > FIRST else "")
