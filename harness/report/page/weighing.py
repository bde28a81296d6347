"""The data from which the page weighs the candidates again when a slider moves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from crossframe.harness.analysis.model import CellReport
from crossframe.harness.analysis.statistics import fewest_rounds
from crossframe.harness.decision.candidates import explain_failure, list_candidates
from crossframe.harness.decision.criteria import CRITERIA, LOOKED_UP, MEASURED, USE_CASES, UseCase
from crossframe.harness.decision.decide import EQUAL, decide_among, describe_dominance, find_dominated
from crossframe.harness.decision.model import Candidate, Decision, Facts
from crossframe.harness.records.model import Record

DEFAULT_USE_CASE = "research"  # as for `crossframe decide`


@dataclass(frozen=True)
class CriterionView:
    """A criterion, and whether it was measured or looked up."""

    about: str
    measured: bool


@dataclass(frozen=True)
class CandidateView:
    """The points of a candidate by criterion, as medians and by round."""

    points: dict[str, float]
    rounds: dict[str, list[float]]  # criterion -> points, in the order of `repeats`
    repeats: list[int]
    unknown: list[str]  # looked-up criteria without a value


@dataclass(frozen=True)
class UseCaseView:
    """The decision of a use case, its weights, and the candidates that are excluded at any weights."""

    decision: Decision
    weights: dict[str, float]
    requirements: list[str]
    excluded: dict[str, str | None]  # candidate -> requirement or dominance that excludes it at any weights


@dataclass(frozen=True)
class Exclusion:
    """An excluded candidate, and the use cases that exclude it."""

    name: str
    reason: str
    use_cases: list[str]


@dataclass(frozen=True)
class Weighing:
    """Everything that the sliders of the page need."""

    criteria: dict[str, CriterionView]
    fewest: dict[str, int]  # number of candidates -> fewest rounds that could separate them
    equal: float  # ratio within which candidates are equal for practical purposes
    candidates: dict[str, CandidateView]
    use_cases: dict[str, UseCaseView]
    exclusions: list[Exclusion]
    default: str


def build_weighing(cells: Sequence[CellReport], records: Sequence[Record], facts: Mapping[str, Facts]) -> Weighing:
    """Return the decisions of all use cases, and the points from which the page computes other decisions."""
    candidates = list_candidates(records, facts, cells)
    use_cases = {name: view_use_case(candidates, use_case) for name, use_case in USE_CASES.items()}
    return Weighing(
        criteria={name: CriterionView(about, name in MEASURED) for name, about in CRITERIA.items()},
        fewest={str(count): fewest_rounds(count * (count - 1) // 2) for count in range(2, len(candidates) + 1)},
        equal=EQUAL,
        candidates={candidate.name: view_candidate(candidate) for candidate in candidates},
        use_cases=use_cases,
        exclusions=list_exclusions(use_cases),
        default=DEFAULT_USE_CASE,
    )


def view_candidate(candidate: Candidate) -> CandidateView:
    """Return the points of a candidate, rounded as the page needs them."""
    repeats = sorted(candidate.rounds)
    return CandidateView(
        points={name: round(points, 6) for name, points in candidate.points.items()},
        rounds={
            name: [round(points[repeat], 4) for repeat in repeats] for name, points in candidate.points_by_round.items()
        },
        repeats=repeats,
        unknown=[name for name in LOOKED_UP if candidate.read_fact(name) is None],
    )


def view_use_case(candidates: Sequence[Candidate], use_case: UseCase) -> UseCaseView:
    """Return the decision of a use case, and the candidates that fail a requirement or are dominated."""
    failures = {candidate.name: explain_first_failure(candidate, use_case.requirements) for candidate in candidates}
    dominated = find_dominated([candidate for candidate in candidates if failures[candidate.name] is None])
    dominance = {name: describe_dominance(rival) for name, rival in dominated.items()}
    return UseCaseView(
        decision=decide_among(candidates, use_case, use_case.requirements),
        weights={name: use_case.weights.get(name, 0) for name in CRITERIA},
        requirements=list(use_case.requirements),
        excluded={**failures, **dominance},
    )


def explain_first_failure(candidate: Candidate, requirements: Sequence[str]) -> str | None:
    """Return why a candidate cannot compete, or the first requirement that it fails; None if it meets all."""
    failures = (explain_failure(candidate, requirement) for requirement in requirements)
    return candidate.excluded or next(filter(None, failures), None)


def list_exclusions(use_cases: Mapping[str, UseCaseView]) -> list[Exclusion]:
    """Return each excluded candidate once per reason, with its use cases."""
    groups: dict[tuple[str, str], list[str]] = {}
    for use_case, view in use_cases.items():
        for exclusion in view.decision.excluded.items():
            groups.setdefault(exclusion, []).append(use_case)
    return [Exclusion(name, reason, names) for (name, reason), names in groups.items()]
