"""`crossframe decide`: a decision as one object, with the run, the candidates and the facts behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Literal

from crossframe.backends import Backend
from crossframe.backends.manifest import Fact
from crossframe.harness.analysis.frameworks import resolve_titles
from crossframe.harness.analysis.metrics import build_cell_reports
from crossframe.harness.decision.candidates import list_candidates
from crossframe.harness.decision.consequences import Consequence, SwitchingCost, estimate_cost, find_consequences
from crossframe.harness.decision.criteria import CRITERIA, MEASURED, UseCase
from crossframe.harness.decision.decide import decide
from crossframe.harness.decision.model import Candidate, Decision, Flip, Verdict
from crossframe.harness.decision.scope import find_not_measured
from crossframe.harness.records import store
from crossframe.harness.records.model import SCHEMA_VERSION, Host, RunInfo

VALID_FOR = timedelta(days=180)  # a judgement: frameworks release every one to four months
JUDGED = (
    "the weights; `--criteria FILE` sets others",
    "a factor of two has the same value in every metric; of a first step and an import, half a second is not counted",
    "yes for a looked-up fact is worth a factor of two",
    "all workloads have the same weight",
    "a difference of less than 5 % over all criteria does not matter",
)


@dataclass(frozen=True)
class RunReference:
    """The run that a decision is made from, with its machine and its version of Crossframe."""

    name: str
    created: str  # UTC, ISO 8601
    preset: str
    crossframe: str
    commit: str | None
    device: str
    host: Host


@dataclass(frozen=True)
class Workload:
    """A workload with the mode in which the candidate runs it, and what was measured there."""

    task: str
    mode: str
    device: str
    precision: str
    batch_size: int
    values: dict[str, float]  # measured criterion -> median over repeats


@dataclass(frozen=True)
class CriterionValue:
    """A value of a candidate; points are None if it was looked up and is unknown."""

    points: float | None
    kind: Literal["measured", "looked up", "unknown"]
    ratio: float | None = None  # of a measured value to that of the reference; above 1 is better


@dataclass(frozen=True)
class CandidateReport:
    """A candidate as the record shows it."""

    name: str
    title: str
    versions: dict[str, str]  # package -> version
    excluded: str | None  # reason
    first_probability: float | None  # of the first place
    rounds: int
    workloads: list[Workload]
    values: dict[str, CriterionValue]  # by criterion
    facts: dict[str, Fact]
    switching: SwitchingCost


@dataclass(frozen=True)
class DecisionRecord:
    """The output of `crossframe decide RUN --format json`."""

    schema: Literal[2]
    status: Literal["proposed"]  # until a team signs it
    run: RunReference
    date: str
    expires: str
    use_case: str
    weights: dict[str, float]  # by criterion
    requirements: list[str]
    verdict: Verdict
    choice: list[str]
    reason: str
    reference: str | None  # the candidate that ratios relate to: the leader at these weights, if there is one
    more_runs: int | None
    flips: list[Flip]
    candidates: list[CandidateReport]
    consequences: list[Consequence]
    judged: list[str]
    not_measured: list[str]
    warnings: list[str]


def build_decision(
    run: Path, backends: Mapping[str, Backend], use_case: UseCase, requirements: list[str], today: date
) -> DecisionRecord:
    """Return the decision from the records of a run. UsageError for an unknown requirement."""
    info = store.read_run(run)
    records, warnings = store.read(run)
    facts = {name: backend.manifest.facts for name, backend in backends.items()}
    titles = resolve_titles(info.backends, sorted({record.cell.backend for record in records}))
    cells = build_cell_reports(records, {})
    candidates = list_candidates(records, facts, cells, titles)
    decision = decide(candidates, facts, use_case, requirements)
    reference = _select_reference(decision, candidates)
    weights = use_case.normalize_weights()
    return DecisionRecord(
        schema=SCHEMA_VERSION,
        status="proposed",
        run=_describe_run(info),
        date=today.isoformat(),
        expires=(today + VALID_FOR).isoformat(),
        use_case=use_case.name,
        weights={name: weights.get(name, 0) for name in CRITERIA},
        requirements=list(dict.fromkeys([*use_case.requirements, *requirements])),
        verdict=decision.verdict,
        choice=decision.choice,
        reason=decision.reason,
        reference=reference.name if reference else None,
        more_runs=decision.more_runs,
        flips=decision.flips,
        candidates=[
            _report_candidate(candidate, decision, reference, backends.get(candidate.name)) for candidate in candidates
        ],
        consequences=find_consequences(decision, candidates),
        judged=list(JUDGED),
        not_measured=list(find_not_measured(run, info, cells, backends, titles)),
        warnings=warnings,
    )


def _describe_run(info: RunInfo) -> RunReference:
    return RunReference(
        name=info.name,
        created=info.created,
        preset=info.options.preset,
        crossframe=info.crossframe,
        commit=info.commit,
        device=info.device,
        host=info.host,
    )


def _select_reference(decision: Decision, candidates: list[Candidate]) -> Candidate | None:
    """Return the leader at the given weights; without one the first candidate that has values."""
    with_values = [candidate for candidate in candidates if candidate.points]
    return next((each for each in with_values if each.name == decision.leader), next(iter(with_values), None))


def _report_candidate(
    candidate: Candidate, decision: Decision, reference: Candidate | None, backend: Backend | None
) -> CandidateReport:
    """Return a candidate with its values; the date and source of a looked-up value are those of its fact."""
    return CandidateReport(
        name=candidate.name,
        title=candidate.title,
        versions=candidate.cells[0].versions if candidate.cells else {},
        excluded=decision.excluded.get(candidate.name),
        first_probability=decision.first_probability.get(candidate.name),
        rounds=len(candidate.rounds),
        workloads=_list_workloads(candidate),
        values={name: _read_value(candidate, name, reference) for name in candidate.points},
        facts=dict(candidate.facts),
        switching=estimate_cost(candidate, backend),
    )


def _list_workloads(candidate: Candidate) -> list[Workload]:
    return [
        Workload(
            task=report.task,
            mode=report.mode,
            device=report.device,
            precision=report.precision,
            batch_size=report.batch_size,
            values={name: value for name in MEASURED if (value := report.metrics[name].value) is not None},
        )
        for report in candidate.cells
    ]


def _read_value(candidate: Candidate, criterion: str, reference: Candidate | None) -> CriterionValue:
    points = candidate.points[criterion]
    if criterion in MEASURED:
        base = reference.points.get(criterion) if reference else None
        return CriterionValue(points, "measured", None if base is None else 2 ** (points - base))
    return CriterionValue(points, "looked up") if criterion in candidate.facts else CriterionValue(None, "unknown")
