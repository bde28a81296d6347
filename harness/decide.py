"""Which candidate to choose: limits, dominance beyond the noise, weights, and a verdict that may be that there is none.

A candidate is a backend. It stands with its fastest proven mode in each workload (task, device, precision, batch size);
its value for a criterion is the mean over the workloads. Computed from records and looked-up facts alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from harness import criteria, figures, ranking
from harness.criteria import LOOKED_UP, MEASURED, Profile
from harness.plan import Usage
from harness.statistics import fewest_rounds

DRAWS = 4000
CONCENTRATION = 20  # of the Dirichlet distribution around the weights: one of 0.3 is doubted by +- 0.1
SURE = 0.9  # the probability of being first that makes a verdict clear
EQUAL = math.log2(1.05)  # points within which nobody would change a framework: 5 %
FACTS_OF_CELLS = ("exports", "device")

Record = dict[str, Any]
Facts = Mapping[str, Mapping[str, Any]]  # fact -> {value, date, source}


@dataclass
class Candidate:
    """A backend with its values: criterion -> (draws,) points under the noise; `plain` the same without."""

    name: str
    facts: Facts
    cells: list[dict[str, Any]] = field(default_factory=list)  # its best proven cell of each workload that it has
    rounds: int = 0  # the fewest of them
    plain: dict[str, float] = field(default_factory=dict)
    drawn: dict[str, np.ndarray] = field(default_factory=dict)
    out: str | None = None  # why it is out
    first: float | None = None  # the probability of being first


def weighted_medians(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(n,), (n, draws) -> (draws,): where half of the weight lies below."""
    order = np.argsort(values)
    below = np.cumsum(weights[order], axis=0)
    return np.asarray(values[order][np.argmax(below >= below[-1] / 2, axis=0)])


def round_weights(last: int) -> np.ndarray:
    """(last + 1, draws): exponential weights of rounds, Rubin's Bayesian bootstrap (1981) over processes.

    The weights belong to the round: candidates that ran in it share them, as they shared the machine's mood.
    """
    return np.random.default_rng(0).exponential(size=(last + 1, DRAWS))


def speed(cell: dict[str, Any]) -> float:
    return float(cell["metrics"]["train_samples_per_s"]["value"] or 0)


def measure(candidate: Candidate, records: dict[ranking.Key, list[Record]], weights: np.ndarray) -> None:
    """Fill the values of the measured criteria; a criterion that a workload lacks stays out."""
    for name in MEASURED:
        plain, drawn = [], []
        for cell in candidate.cells:
            own = {record["repeat"]: figures.FIGURES[name].read(record) for record in records[ranking.key_of(cell)]}
            found = {place: criteria.value(name, figure) for place, figure in own.items() if figure}
            if len(found) == len(own):
                points = np.array(list(found.values()))
                plain.append(float(np.median(points)))
                drawn.append(weighted_medians(points, weights[list(found)]))
        if len(plain) == len(candidate.cells):
            candidate.plain[name], candidate.drawn[name] = float(np.mean(plain)), np.mean(drawn, axis=0)


def look_up(candidate: Candidate) -> None:
    """Fill the values of the looked-up criteria: 1 or 0; what is unknown lies anywhere between, alike for all."""
    for place, name in enumerate(LOOKED_UP):
        known = candidate.facts.get(name, {}).get("value")
        anywhere = np.random.default_rng(place).random(DRAWS)
        candidate.plain[name] = 0.5 if known is None else float(known)
        candidate.drawn[name] = anywhere if known is None else np.full(DRAWS, float(known))


def candidates(records: list[Record], facts: Mapping[str, Facts]) -> list[Candidate]:
    """Every backend of the run, with its values, or out since it can't do a workload."""
    cells, groups = figures.cells(records, {}), ranking.by_cell(records)
    workloads = ranking.families(cells)
    weights = round_weights(max(record["repeat"] for record in records))
    found = [Candidate(name, facts.get(name, {})) for name in sorted({cell["backend"] for cell in cells})]
    for one in found:
        for key, members in workloads.items():
            own = [cell for cell in members if cell["backend"] == one.name]
            proven = [cell for cell in own if cell["state"] == "ok" and (cell["parity"] or {}).get("state") == "ok"]
            if proven:
                one.cells.append(max(proven, key=speed))
            elif one.out is None:
                one.out = f"{' '.join(map(str, key))}: {why_not(own)}"
        if one.out is None:
            one.rounds = min(len(groups[ranking.key_of(cell)]) for cell in one.cells)
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


def dominated(one: Candidate, others: list[Candidate]) -> str | None:
    """The name of a candidate that is better in everything measured beyond the noise, and no worse in any fact."""

    def beaten(by: Candidate) -> bool:
        differences = {name: by.drawn[name] - one.drawn[name] for name in by.drawn if name in one.drawn}
        whole = all(name in differences for name in [*by.drawn, *one.drawn])
        return whole and all(
            np.quantile(gap, 0.025) > 0 if name in MEASURED else gap.min() >= 0 for name, gap in differences.items()
        )

    return next((other.name for other in others if other is not one and beaten(other)), None)


def flips(fit: list[Candidate], weights: dict[str, float]) -> list[dict[str, Any]]:
    """For each criterion the nearest weight at which another candidate comes first, the others keeping their shares."""
    total = {one.name: sum(weight * one.plain[name] for name, weight in weights.items()) for one in fit}
    leader = max(fit, key=lambda one: total[one.name])
    found = []
    for name, weight in weights.items():
        crossings = []
        for other in fit:
            gap, own = total[leader.name] - total[other.name], leader.plain[name] - other.plain[name]
            # gap(t) = t own + (1 - t) (gap - weight own) / (1 - weight), which is 0 at t = rest / (rest - own)
            rest = (gap - weight * own) / (1 - weight) if weight < 1 else math.nan
            if other is not leader and math.isfinite(rest) and rest != own and 0 <= rest / (rest - own) <= 1:
                crossings.append((abs(rest / (rest - own) - weight), rest / (rest - own), other.name))
        if crossings:
            found.append({"criterion": name, "weight": weight, "at": min(crossings)[1], "to": min(crossings)[2]})
    return sorted(found, key=lambda flip: abs(flip["at"] - flip["weight"]))


def choose(fit: list[Candidate], weights: dict[str, float]) -> dict[str, Any]:
    """{verdict, choice, reason, more_runs, flips} among candidates within the limits; fills `first` of each."""
    if not fit:
        return verdict("none fits", [], "no candidate is within the limits")
    if len(fit) == 1:
        fit[0].first = 1.0
        return verdict("clear", [fit[0].name], "the only candidate within the limits that no other beats in everything")
    fewest, rounds = fewest_rounds(len(fit) * (len(fit) - 1) // 2), min(one.rounds for one in fit)
    if rounds < fewest:
        reason = f"{rounds} of at least {fewest} repeats that could tell {len(fit)} candidates apart"
        return verdict("not enough evidence", [], reason, fewest - rounds)
    shares = np.array(list(weights.values()))
    plain = np.array([[one.plain[name] for name in weights] for one in fit])
    drawn = np.array([[one.drawn[name] for name in weights] for one in fit])  # (candidates, criteria, draws)
    doubted = np.random.default_rng(1).dirichlet(CONCENTRATION * shares, DRAWS).T
    scores, noisy, unsure = (drawn * doubted).sum(1), np.einsum("kcd,c->kd", drawn, shares), plain @ doubted
    leading = scores >= scores.max(axis=0) - 1e-12
    for one, share in zip(fit, (leading / leading.sum(axis=0)).mean(axis=1)):
        one.first = float(share)
    order = np.argsort(-(plain @ shares), kind="stable")
    lead, second = int(order[0]), int(order[1])
    ends = np.quantile(scores[lead] - scores, [0.025, 0.975], axis=1)
    tied = [one for place, one in enumerate(fit) if np.abs(ends[:, place]).max() <= EQUAL]
    turns = flips(fit, weights)
    name, first = fit[lead].name, fit[lead].first or 0.0
    if len(tied) > 1 and sum(one.first or 0 for one in tied) >= SURE:
        reason = "within 5 % of each other, whatever the noise and the doubt about the weights"
        return verdict("tie", [one.name for one in tied], reason, flips=turns)
    if first >= SURE:
        return verdict("clear", [name], f"first with a probability of {first:.0%}", flips=turns)
    if np.mean(unsure.argmax(axis=0) == lead) < SURE and turns:
        turn = turns[0]
        reason = f"{name} at these weights; {turn['to']} where {turn['criterion']} weighs {turn['at']:.0%}"
        return verdict("depends", [name, turn["to"]], f"{reason} instead of {turn['weight']:.0%}", flips=turns)
    gap = noisy[lead] - noisy[second]
    half = float(np.quantile(gap, 0.975) - np.quantile(gap, 0.025)) / 2
    more = max(1, math.ceil(rounds * ((half / max(abs(float(np.median(gap))), EQUAL)) ** 2 - 1)))
    reason = f"the noise does not part {name} and {fit[second].name} ({name} is first with {first:.0%})"
    return verdict("not enough evidence", [], reason, more, turns)


def verdict(
    word: str, choice: list[str], reason: str, more_runs: int | None = None, flips: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    return {"verdict": word, "choice": choice, "reason": reason, "more_runs": more_runs, "flips": flips or []}


def decide(
    records: list[Record], facts: Mapping[str, Facts], profile: Profile, require: list[str]
) -> tuple[dict[str, Any], list[Candidate]]:
    """(the verdict, every candidate). `require` adds to the limits of the profile; Usage for one that is unknown."""
    limits = [*dict.fromkeys([*profile.require, *require])]
    check_requirements(limits, facts)
    whole = sum(profile.weights.values())
    weights = {name: weight / whole for name, weight in profile.weights.items() if weight}
    found = candidates(records, facts) if records else []
    for one in found:
        if one.out is None:
            one.out = next((why for why in (limit(one, text) for text in limits) if why), None)
        if one.out is None:
            lacks = [name for name in weights if name not in one.plain]
            one.out = f"has no {lacks[0]} in every workload" if lacks else None
    fit = [one for one in found if one.out is None]
    if len(fit) > 1 and min(one.rounds for one in fit) >= fewest_rounds(len(fit) * (len(fit) - 1) // 2):
        beaten = {one.name: by for one in fit if (by := dominated(one, fit))}
        for one in fit:
            one.out = f"{beaten[one.name]} is better in everything, beyond the noise" if one.name in beaten else None
    return choose([one for one in fit if one.out is None], weights), found
