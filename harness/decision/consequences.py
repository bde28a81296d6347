"""What follows from a decision: what the chosen candidates gain and give up, and the cost of switching."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from crossframe.backends import Backend
from crossframe.harness.analysis.frameworks import count_code_lines
from crossframe.harness.decision.criteria import LOOKED_UP, MEASURED
from crossframe.harness.decision.decide import EQUAL
from crossframe.harness.decision.model import Candidate, Decision


@dataclass(frozen=True)
class Consequence:
    """A criterion in which a chosen candidate differs from the best of the others that could be chosen."""

    choice: str
    criterion: str
    rival: str
    ratio: float | None  # to the rival, above 1 is better; None for a fact that the rival has and the choice lacks


@dataclass(frozen=True)
class SwitchingCost:
    """What is known about the cost of switching to a candidate; None if it is unknown."""

    environment_bytes: float | None
    environment_install_s: float | None
    backend_lines: int | None  # of code in its backend, which trains all tasks
    dialect: dict[str, str | float]  # where the framework computes differently from the specification


def find_consequences(decision: Decision, candidates: Sequence[Candidate]) -> list[Consequence]:
    """Return, for each chosen candidate, the criteria in which it gains or gives up something that matters.

    It is compared with the best of the other candidates that could be chosen; up to `EQUAL` they are the same.
    """
    fit = {candidate.name: candidate for candidate in candidates if candidate.name not in decision.excluded}
    return [
        consequence
        for name in decision.choice
        for consequence in _compare_choice(fit[name], [fit[rival] for rival in fit if rival != name])
    ]


def _compare_choice(choice: Candidate, rivals: Sequence[Candidate]) -> Iterator[Consequence]:
    for criterion in MEASURED:
        points = {rival.name: rival.points[criterion] for rival in rivals if criterion in rival.points}
        if points and criterion in choice.points:
            best = max(points, key=lambda name: points[name])
            ratio = 2 ** (choice.points[criterion] - points[best])
            if max(ratio, 1 / ratio) > 1 + EQUAL:
                yield Consequence(choice.name, criterion, best, ratio)
    for fact in LOOKED_UP:
        better = [rival.name for rival in rivals if rival.read_fact(fact) is True]
        if choice.read_fact(fact) is False and better:
            yield Consequence(choice.name, fact, better[0], None)


def estimate_cost(candidate: Candidate, backend: Backend | None) -> SwitchingCost:
    """Return what the run and the folder of the backend tell about the cost of switching to a candidate."""
    return SwitchingCost(
        environment_bytes=_read_largest(candidate, "environment_bytes"),
        environment_install_s=_read_largest(candidate, "environment_install_s"),
        backend_lines=count_code_lines(backend) if backend else None,
        dialect={word: value for report in candidate.cells for word, value in report.dialect.items()},
    )


def _read_largest(candidate: Candidate, metric: str) -> float | None:
    values = (report.metrics[metric].value for report in candidate.cells)
    return max((value for value in values if value is not None), default=None)
