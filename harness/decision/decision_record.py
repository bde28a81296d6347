"""`crossframe decide`: a decision as one object, with the run, the candidates and the facts behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Literal

from crossframe.backends.manifest import Fact
from crossframe.harness.decision.criteria import CRITERIA, MEASURED, UseCase
from crossframe.harness.decision.decide import decide
from crossframe.harness.decision.model import Candidate, Decision, Facts, Flip, Verdict
from crossframe.harness.records import store
from crossframe.harness.records.model import SCHEMA_VERSION

LOOK_AGAIN = timedelta(days=180)  # a judgement: frameworks release every one to four months
JUDGED = (
    "the weights",
    "a factor of two has the same value in every metric; of a first step and an import, half a second is not counted",
    "yes for a looked-up fact is worth a factor of two",
    "all workloads have the same weight",
    "a difference of less than 5 % over all criteria does not matter",
)
SILENT = (
    "other tasks, larger networks, other batch sizes, other machines",
    "training on several devices, except for the looked-up fact",
    "phones and small devices, except for the looked-up fact",
    "the experience of your team, and the cost of changing the framework",
    "quality: candidates are verified to compute the same, so it does not distinguish them",
)


@dataclass(frozen=True)
class RunReference:
    """The run that a decision is made from."""

    name: str
    created: str  # UTC, ISO 8601
    preset: str


@dataclass(frozen=True)
class Workload:
    """A workload with the mode in which the candidate runs it."""

    task: str
    mode: str
    device: str
    precision: str
    batch_size: int


@dataclass(frozen=True)
class CriterionValue:
    """A value of a candidate; None if it was looked up and is unknown."""

    points: float | None
    kind: Literal["measured", "looked up", "unknown"]


@dataclass(frozen=True)
class CandidateReport:
    """A candidate as the record shows it."""

    name: str
    excluded: str | None  # reason
    first_probability: float | None  # of the first place
    rounds: int
    workloads: list[Workload]
    values: dict[str, CriterionValue]  # by criterion
    facts: dict[str, Fact]


@dataclass(frozen=True)
class DecisionRecord:
    """The output of `crossframe decide RUN --format json`."""

    schema: Literal[2]
    run: RunReference
    date: str
    look_again: str
    use_case: str
    weights: dict[str, float]  # by criterion
    requirements: list[str]
    verdict: Verdict
    choice: list[str]
    reason: str
    more_runs: int | None
    flips: list[Flip]
    candidates: list[CandidateReport]
    judged: list[str]
    silent_about: list[str]
    warnings: list[str]


def build_decision(
    run: Path, facts: Mapping[str, Facts], use_case: UseCase, requirements: list[str], today: date
) -> DecisionRecord:
    """Return the decision from the records of a run. UsageError for an unknown requirement."""
    info = store.read_run(run)
    records, warnings = store.read(run)
    decision, candidates = decide(records, facts, use_case, requirements)
    weights = use_case.normalize_weights()
    return DecisionRecord(
        schema=SCHEMA_VERSION,
        run=RunReference(info.name, info.created, info.options.preset),
        date=today.isoformat(),
        look_again=(today + LOOK_AGAIN).isoformat(),
        use_case=use_case.name,
        weights={name: weights.get(name, 0) for name in CRITERIA},
        requirements=list(dict.fromkeys([*use_case.requirements, *requirements])),
        verdict=decision.verdict,
        choice=decision.choice,
        reason=decision.reason,
        more_runs=decision.more_runs,
        flips=decision.flips,
        candidates=[_report_candidate(candidate, decision) for candidate in candidates],
        judged=list(JUDGED),
        silent_about=list(SILENT),
        warnings=warnings,
    )


def _report_candidate(candidate: Candidate, decision: Decision) -> CandidateReport:
    """Return a candidate with its values; the date and source of a looked-up value are those of its fact."""
    values = {}
    for name, points in candidate.points.items():
        if name in MEASURED:
            values[name] = CriterionValue(points, "measured")
        elif name in candidate.facts:
            values[name] = CriterionValue(points, "looked up")
        else:
            values[name] = CriterionValue(None, "unknown")
    return CandidateReport(
        name=candidate.name,
        excluded=decision.excluded.get(candidate.name),
        first_probability=decision.first_probability.get(candidate.name),
        rounds=len(candidate.rounds),
        workloads=[
            Workload(report.task, report.mode, report.device, report.precision, report.batch_size)
            for report in candidate.cells
        ],
        values=values,
        facts=dict(candidate.facts),
    )
