"""The candidates of a decision: backends with their values, from records and looked-up facts, and the limits they meet.

A candidate stands with its fastest proven mode in each workload (task, device, precision, batch size); its value for a
criterion is the mean over the workloads, in points (see `crossframe.harness.decision.criteria`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from crossframe.harness.analysis import metrics, ranking
from crossframe.harness.decision import criteria
from crossframe.harness.decision.criteria import LOOKED_UP, MEASURED
from crossframe.harness.errors import Usage

DRAWS = 4000
FACTS_OF_CELLS = ("exports", "device")

Record = dict[str, Any]
Facts = Mapping[str, Mapping[str, Any]]  # fact -> {value, date, source} and perhaps a note


@dataclass
class Candidate:
    """A backend with its values by criterion."""

    name: str
    facts: Facts
    cells: list[dict[str, Any]] = field(default_factory=list)  # its fastest proven cell of each workload that it has
    rounds: set[int] = field(default_factory=set)  # the rounds that all of them ran in
    plain: dict[str, float] = field(default_factory=dict)  # points
    by_round: dict[str, dict[int, float]] = field(default_factory=dict)  # points in each round; measured ones only
    drawn: dict[str, np.ndarray] = field(default_factory=dict)  # (draws,) points, under the noise
    out: str | None = None  # why it is out
    first: float | None = None  # the probability of being first


def weighted_medians(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(n,), (n, draws) -> (draws,): where half of the weight lies below."""
    order = np.argsort(values)
    below = weights[order]
    for place in range(1, len(below)):  # as cumsum, which takes three times as long down the columns
        below[place] += below[place - 1]
    return np.asarray(values[order][np.argmax(below >= below[-1] / 2, axis=0)])


def round_weights(last: int) -> np.ndarray:
    """(last + 1, draws): exponential weights of rounds, Rubin's Bayesian bootstrap (1981) over processes.

    The weights belong to the round: candidates that ran in it share them, as they shared the machine's mood.
    """
    return np.random.default_rng(0).exponential(size=(last + 1, DRAWS))


def speed(cell: dict[str, Any]) -> float:
    return float(cell["metrics"]["train_samples_per_s"]["value"] or 0)


def measure(candidate: Candidate, records: dict[ranking.Key, list[Record]], weights: np.ndarray) -> None:
    """Fill the values of the measured criteria; one that a repeat of a workload lacks stays out."""
    for name in MEASURED:
        found = []
        for cell in [cell for cell in candidate.cells if ranking.counts(cell, name)]:
            own = records[ranking.key_of(cell)]
            read = {record["repeat"]: metrics.FIGURES[name].read(record) for record in own}
            found.append({place: criteria.value(name, figure) for place, figure in read.items() if figure})
            if len(found[-1]) < len(own):
                found = []
                break
        if found:
            points = [np.array(list(one.values())) for one in found]
            drawn = [weighted_medians(values, weights[list(one)]) for values, one in zip(points, found)]
            candidate.plain[name] = float(np.mean([np.median(values) for values in points]))
            candidate.drawn[name] = np.mean(drawn, axis=0)
            candidate.by_round[name] = {
                place: float(np.mean([one[place] for one in found])) for place in candidate.rounds
            }


def look_up(candidate: Candidate) -> None:
    """Fill the values of the looked-up criteria: 1 or 0; what is unknown lies anywhere between, alike for all."""
    for place, name in enumerate(LOOKED_UP):
        told = candidate.facts.get(name, {}).get("value")
        known = told if isinstance(told, bool) else None
        anywhere = np.random.default_rng(place).random(DRAWS)
        candidate.plain[name] = 0.5 if known is None else float(known)
        candidate.drawn[name] = anywhere if known is None else np.full(DRAWS, float(known))


def well_formed(facts: Facts) -> Facts:
    """The facts that say when and where they were looked up; of a stranger's others nothing is known."""
    return {name: fact for name, fact in facts.items() if isinstance(fact, Mapping)}


def candidates(
    records: list[Record], facts: Mapping[str, Facts], cells: list[dict[str, Any]] | None = None
) -> list[Candidate]:
    """Every backend of the run, with its values, or out since it can't do a workload; `cells` where they are known."""
    if not records:
        return []
    cells, groups = cells or metrics.cells(records, {}), ranking.by_cell(records)
    workloads = ranking.families(cells)
    weights = round_weights(max(record["repeat"] for record in records))
    found = [Candidate(name, well_formed(facts.get(name, {}))) for name in sorted({cell["backend"] for cell in cells})]
    for one in found:
        for key, members in workloads.items():
            own = [cell for cell in members if cell["backend"] == one.name]
            proven = [cell for cell in own if cell["state"] == "ok" and (cell["parity"] or {}).get("state") == "ok"]
            if proven:
                one.cells.append(max(proven, key=speed))
            elif one.out is None:
                one.out = f"{' '.join(map(str, key))}: {why_not(own)}"
        if one.out is None:
            one.rounds = set.intersection(*({r["repeat"] for r in groups[ranking.key_of(cell)]} for cell in one.cells))
            measure(one, groups, weights)
            look_up(one)
    return found


def why_not(cells: list[dict[str, Any]]) -> str:
    """Why none of a backend's cells of a workload counts."""
    if not cells:
        return "not in this run"
    first = cells[0]
    if first["state"] != "ok":
        return f"{first['state']}: {first['reason']}"
    return "not proven equal: " + ("parity was not checked" if first["parity"] is None else first["parity"]["reason"])


def limit(candidate: Candidate, requirement: str) -> str | None:
    """Why a candidate does not meet `exports`, `device=KIND`, `FACT` or `FACT=VALUE|VALUE`; None if it does."""
    name, separator, wanted = requirement.partition("=")
    if name == "exports":
        bad = [cell for cell in candidate.cells if cell["onnx"]["state"] != "ok"]
        return f"does not export {bad[0]['task']} to ONNX: {bad[0]['onnx']['reason']}" if bad else None
    if name == "device":
        kinds = {cell["device"].partition(":")[0] for cell in candidate.cells}
        return None if kinds == {wanted} else f"was not run on {wanted}"
    fact = candidate.facts.get(name, {}).get("value")
    if fact is None:
        return f"unknown whether {requirement}"
    met = str(fact) in wanted.split("|") if separator else fact is not False
    return None if met else f"{name} is {fact}".replace("True", "yes").replace("False", "no")


def check_requirements(requirements: list[str], facts: Mapping[str, Facts]) -> None:
    """Usage for a requirement that no candidate could be held against."""
    known = dict.fromkeys([*FACTS_OF_CELLS, *LOOKED_UP, *(name for own in facts.values() for name in own)])
    for requirement in requirements:
        name, separator, wanted = requirement.partition("=")
        if name not in known or (separator and not wanted) or (name == "device" and not wanted):
            raise Usage(f"--require {requirement}: there are {', '.join(known)}; a value follows as licence=Apache-2.0")
