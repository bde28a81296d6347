"""Which candidate to choose: limits, dominance beyond the noise, weights, and a verdict that may be that there is none.

The noise is judged as tiers are, by `statistics` on the rounds; the doubt about weights by drawing them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from crossframe.harness.analysis.statistics import Comparison, compare, fewest_rounds
from crossframe.harness.decision.candidates import (
    DRAWS,
    Candidate,
    Facts,
    Record,
    candidates,
    check_requirements,
    limit,
)
from crossframe.harness.decision.criteria import CRITERIA, LOOKED_UP, MEASURED, Profile

CONCENTRATION = 20  # of the Dirichlet distribution around the weights: one of 0.3 is doubted by +- 0.1
SURE = 0.9  # the share of doubted weights for which a verdict must hold
UNNOTICED = 0.01  # a ratio in one criterion that is no difference, as in tiers
EQUAL = 0.05  # a ratio, over all criteria, for which nobody would change a framework


def scores_by_round(one: Candidate, weights: Mapping[str, float]) -> dict[int, float]:
    """Round -> 2 to the weighted sum of points: a weighted product of ratios, which `compare` takes for a figure."""
    fixed = sum(weight * one.plain[name] for name, weight in weights.items() if name in LOOKED_UP)
    measured = {name: weight for name, weight in weights.items() if name in MEASURED}
    return {
        place: 2.0 ** (fixed + sum(weight * one.by_round[name][place] for name, weight in measured.items()))
        for place in sorted(one.rounds)
    }


def beaten_in_all(fit: list[Candidate]) -> dict[str, str]:
    """Candidate -> one that is better in everything measured, beyond the noise, and no worse in any fact."""
    better: set[tuple[str, str]] = {(a.name, b.name) for a in fit for b in fit if a is not b}
    for name in MEASURED:
        have = [one for one in fit if name in one.by_round]
        found = compare({one.name: scores_by_round(one, {name: 1.0}) for one in have}, "more", UNNOTICED)
        better &= {(one.a, one.b) for one in found if one.separated}
    facts = {one.name: np.array([one.drawn[name] for name in LOOKED_UP]) for one in fit}
    return {worse: by for by, worse in sorted(better) if np.all(facts[by] >= facts[worse])}


def flips(fit: list[Candidate], leader: Candidate, weights: dict[str, float]) -> list[dict[str, Any]]:
    """For each criterion the nearest weight at which another passes the leader, the nearest flip first.

    The weights of the other criteria keep their shares of what is left.
    """
    found = []
    for name, weight in weights.items():
        crossings = []
        for other in fit:
            gap = sum(share * (leader.plain[one] - other.plain[one]) for one, share in weights.items())
            own = leader.plain[name] - other.plain[name]
            # gap(t) = t own + (1 - t) rest, which is 0 at t = rest / (rest - own)
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
    fewest, rounds = fewest_rounds(len(fit) * (len(fit) - 1) // 2), min(len(one.rounds) for one in fit)
    if rounds < fewest:
        reason = f"{rounds} of at least {fewest} repeats that could tell {len(fit)} candidates apart"
        return verdict("not enough evidence", [], reason, fewest - rounds)
    shares = np.array(list(weights.values()))
    plain = np.array([[one.plain[name] for name in weights] for one in fit])
    drawn = np.array([[one.drawn[name] for name in weights] for one in fit])  # (candidates, criteria, draws)
    doubted = np.random.default_rng(1).dirichlet(CONCENTRATION * shares, DRAWS).T
    leading = first_of((drawn * doubted).sum(axis=1))
    for one, share in zip(fit, leading.mean(axis=1)):
        one.first = float(share)
    lead = int(np.argmax(plain @ shares))
    found = compare({one.name: scores_by_round(one, weights) for one in fit}, "more", EQUAL)
    unsure = plain @ doubted
    return judge(fit, lead, found, unsure, np.einsum("kcd,c->kd", drawn, shares), flips(fit, fit[lead], weights))


def first_of(scores: np.ndarray) -> np.ndarray:
    """(candidates, draws) -> the share of the first place that each has in each draw; equal ones share it."""
    leading = scores >= scores.max(axis=0) - 1e-12
    return np.asarray(leading / leading.sum(axis=0))


def judge(
    fit: list[Candidate],
    lead: int,
    found: list[Comparison],
    unsure: np.ndarray,
    noisy: np.ndarray,
    turns: list[dict[str, Any]],
) -> dict[str, Any]:
    """The verdict on two candidates or more, from scores (candidates, draws) under doubted weights and under noise."""
    names = [one.name for one in fit]
    name = names[lead]
    of_lead = {two.b if two.a == name else two.a: two for two in found if name in (two.a, two.b)}
    rivals = [other for other, two in of_lead.items() if not (two.separated and two.a == name)]
    open_rivals = [other for other in rivals if of_lead[other].separated or of_lead[other].more_runs]
    sure = float(np.mean(unsure[lead] >= unsure.max(axis=0) - 1e-12)) >= SURE
    reach = np.quantile(np.abs(unsure[lead] - unsure), 1 - SURE / 2, axis=1)
    alike = all(reach[names.index(other)] <= math.log2(1 + EQUAL) for other in rivals)
    if rivals and not open_rivals and (sure or alike):
        reason = "within 5 % of each other, beyond the noise and the doubt about the weights"
        return verdict("tie", [name, *rivals], reason, flips=turns)
    if sure and not rivals:
        reason = f"first for nearly all weights about these, and with a probability of {fit[lead].first:.0%} in all"
        return verdict("clear", [name], reason, flips=turns)
    others = np.delete(np.arange(len(fit)), lead)
    challenger = int(others[np.argmax(first_of(unsure)[others].mean(axis=1))])
    other = names[challenger]
    by_weights, by_noise = (float(np.std(scores[lead] - scores[challenger])) for scores in (unsure, noisy))
    if not sure and (other not in open_rivals or by_weights > by_noise):
        turn = next((turn for turn in turns if turn["to"] == other), None)
        where = ""
        if turn:
            where = f" where {CRITERIA[turn['criterion']]} weighs {turn['at']:.0%} instead of {turn['weight']:.0%}"
        return verdict("depends", [name, other], f"{name} at these weights; {other}{where}", flips=turns)
    more = max(of_lead[rival].more_runs or 1 for rival in open_rivals)
    reason = f"the noise does not part {name} from {' and '.join(open_rivals)}"
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
    found = candidates(records, facts)
    return among(found, profile, limits), found


def among(found: list[Candidate], profile: Profile, limits: Sequence[str]) -> dict[str, Any]:
    """The verdict; fills `out` and `first` of the candidates."""
    whole = sum(profile.weights.values())
    weights = {name: weight / whole for name, weight in profile.weights.items() if weight}
    for one in found:
        if one.out is None:
            one.out = next((why for why in (limit(one, text) for text in limits) if why), None)
        if one.out is None:
            lacks = [name for name in weights if name not in one.plain]
            one.out = f"has no {lacks[0]} in every workload" if lacks else None
    beaten = beaten_in_all([one for one in found if one.out is None])
    for one in found:
        if one.name in beaten:
            one.out = f"{beaten[one.name]} is better in everything, beyond the noise"
    return choose([one for one in found if one.out is None], weights)
