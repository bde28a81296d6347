"""The types of decisions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from crossframe.backends.manifest import Fact
from crossframe.harness.analysis.model import CellReport

Facts = Mapping[str, Fact]  # by name


class Verdict(StrEnum):
    """The outcome of a decision."""

    CLEAR = "clear"
    TIE = "tie"
    DEPENDS = "depends"  # on weights within the doubt about them
    NOT_ENOUGH_EVIDENCE = "not enough evidence"
    NONE_FITS = "none fits"


@dataclass(frozen=True)
class Flip:
    """The nearest weight of a criterion at which another candidate passes the leader."""

    criterion: str
    weight: float
    at: float
    to: str  # candidate


@dataclass(frozen=True)
class Decision:
    """The recommended candidates, and the reason."""

    verdict: Verdict
    choice: list[str]  # candidates; [] if none is recommended
    reason: str
    leader: str | None = None  # the candidate with the best score at these weights; None if no candidate is fit
    more_runs: int | None = None  # estimated number of further repeats for a decision
    flips: list[Flip] = field(default_factory=list)
    excluded: dict[str, str] = field(default_factory=dict)  # candidate -> reason
    first_probability: dict[str, float] = field(default_factory=dict)  # candidate -> probability of the first place


@dataclass(frozen=True)
class Candidate:
    """A backend with its values by criterion, in points (see `crossframe.harness.decision.criteria`)."""

    name: str
    title: str  # in texts
    facts: Facts
    cells: list[CellReport] = field(default_factory=list)  # its fastest verified cell of each workload
    rounds: frozenset[int] = frozenset()  # in which all of these cells ran
    points: dict[str, float] = field(default_factory=dict)
    points_by_round: dict[str, dict[int, float]] = field(default_factory=dict)  # measured criteria only
    points_drawn: dict[str, np.ndarray] = field(default_factory=dict)  # (draws,) under the noise
    excluded: str | None = None  # why it can't compete in this run

    def read_fact(self, name: str) -> str | bool | None:
        """Return the value of a looked-up fact; None if it is unknown."""
        fact = self.facts.get(name)
        return None if fact is None else fact.value
