"""The choice among candidates: requirements, dominance beyond the noise, weights, and a verdict that may be undecided.

Noise is tested on the rounds by `crossframe.harness.analysis.statistics`, as for tiers. The uncertainty of the weights
is estimated from random weights around the given ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from crossframe.harness.analysis.labels import format_probability
from crossframe.harness.analysis.statistics import Comparison, compare, fewest_rounds
from crossframe.harness.decision.candidates import DRAWS, check_requirements, explain_failure
from crossframe.harness.decision.criteria import CRITERIA, LOOKED_UP, MEASURED, UseCase
from crossframe.harness.decision.model import Candidate, Decision, Facts, Flip, Verdict

CONCENTRATION = 20  # of the Dirichlet distribution of the weights: for 0.3 the standard deviation is 0.1
SURE = 0.9  # the share of drawn weights for which a verdict must hold
UNNOTICED = 0.01  # ratio within which candidates are equal in one criterion, as for tiers
EQUAL = 0.05  # ratio within which candidates are equal over all criteria: too little to change a framework for


def decide(
    candidates: Sequence[Candidate], facts: Mapping[str, Facts], use_case: UseCase, requirements: Sequence[str]
) -> Decision:
    """Return the decision among candidates. UsageError for an unknown requirement.

    `requirements` are added to those of the use case.
    """
    combined = list(dict.fromkeys([*use_case.requirements, *requirements]))
    check_requirements(combined, facts)
    return decide_among(candidates, use_case, combined)


def decide_among(candidates: Sequence[Candidate], use_case: UseCase, requirements: Sequence[str]) -> Decision:
    """Return the decision among candidates that may fail requirements."""
    weights = use_case.normalize_weights()
    excluded = {}
    for candidate in candidates:
        reason = _explain_exclusion(candidate, weights, requirements)
        if reason is not None:
            excluded[candidate.name] = reason
    dominated = find_dominated([candidate for candidate in candidates if candidate.name not in excluded])
    titles = {candidate.name: candidate.title for candidate in candidates}
    excluded |= {worse: describe_dominance(titles[better]) for worse, better in dominated.items()}
    fit = [candidate for candidate in candidates if candidate.name not in excluded]
    return replace(_choose(fit, weights), excluded=excluded)


def _explain_exclusion(candidate: Candidate, weights: Mapping[str, float], requirements: Sequence[str]) -> str | None:
    """Return why a candidate cannot be chosen, independent of the other candidates; None if it can."""
    if candidate.excluded is not None:
        return candidate.excluded
    for requirement in requirements:
        reason = explain_failure(candidate, requirement)
        if reason is not None:
            return reason
    missing = [name for name in weights if name not in candidate.points]
    return f"has no {missing[0]} in every workload" if missing else None


def score_by_round(candidate: Candidate, weights: Mapping[str, float]) -> dict[int, float]:
    """Return round -> 2 to the weighted sum of points: a weighted product of ratios, which `compare` takes."""
    fixed = sum(weight * candidate.points[name] for name, weight in weights.items() if name in LOOKED_UP)
    measured = {name: weight for name, weight in weights.items() if name in MEASURED}
    return {
        number: 2.0
        ** (fixed + sum(weight * candidate.points_by_round[name][number] for name, weight in measured.items()))
        for number in sorted(candidate.rounds)
    }


def find_dominated(candidates: Sequence[Candidate]) -> dict[str, str]:
    """Return candidate -> the one that is better in everything measured, beyond the noise, and no worse in any fact."""
    better: set[tuple[str, str]] = {(a.name, b.name) for a in candidates for b in candidates if a is not b}
    for name in MEASURED:
        present = [candidate for candidate in candidates if name in candidate.points_by_round]
        scores = {candidate.name: score_by_round(candidate, {name: 1.0}) for candidate in present}
        better &= {(pair.a, pair.b) for pair in compare(scores, "more", UNNOTICED) if pair.separated}
    facts = {candidate.name: np.array([candidate.points_drawn[name] for name in LOOKED_UP]) for candidate in candidates}
    return {worse: by for by, worse in sorted(better) if np.all(facts[by] >= facts[worse])}


def describe_dominance(better: str) -> str:
    """Return why a candidate is excluded that `better` dominates."""
    return f"{better} is better in everything, beyond the noise"


def find_flips(candidates: Sequence[Candidate], leader: Candidate, weights: Mapping[str, float]) -> list[Flip]:
    """Return for each criterion the nearest weight at which another candidate passes the leader, the nearest first.

    The weights of the other criteria keep their proportions. A candidate passes the leader only if it is better by more
    than `EQUAL` at one end of the range, at a weight of 0 or 1: those that are equal there never change places.
    """
    least = math.log2(1 + EQUAL)
    flips = []
    for name, weight in weights.items():
        crossings = []
        for rival in candidates:
            gap = sum(share * (leader.points[each] - rival.points[each]) for each, share in weights.items())
            in_criterion = leader.points[name] - rival.points[name]
            # gap(t) = t in_criterion + (1 - t) rest, which is 0 at t = rest / (rest - in_criterion)
            rest = (gap - weight * in_criterion) / (1 - weight) if weight < 1 else math.nan
            if rival is not leader and min(rest, in_criterion) < -least and max(rest, in_criterion) > 0:
                at = rest / (rest - in_criterion)
                crossings.append((abs(at - weight), at, rival.name))
        if crossings:
            _, at, rival_name = min(crossings)
            flips.append(Flip(name, weight, at, rival_name))
    return sorted(flips, key=lambda flip: abs(flip.at - flip.weight))


def _choose(candidates: Sequence[Candidate], weights: Mapping[str, float]) -> Decision:
    """Return the decision among candidates that meet all requirements and are not dominated."""
    if not candidates:
        return Decision(Verdict.NONE_FITS, [], "no candidate meets the requirements")
    if len(candidates) == 1:
        name = candidates[0].name
        reason = "the only candidate that meets the requirements and that no other beats in everything"
        return Decision(Verdict.CLEAR, [name], reason, leader=name, first_probability={name: 1.0})
    fewest = fewest_rounds(len(candidates) * (len(candidates) - 1) // 2)
    rounds = min(len(candidate.rounds) for candidate in candidates)
    if rounds < fewest:
        reason = f"{rounds} of at least {fewest} repeats that could distinguish {len(candidates)} candidates"
        leader = candidates[_find_leader(candidates, weights)].name
        return Decision(Verdict.NOT_ENOUGH_EVIDENCE, [], reason, leader=leader, more_runs=fewest - rounds)
    return _judge(_weigh(candidates, weights))


@dataclass(frozen=True)
class _Weighing:
    """Two or more candidates with their scores under drawn weights, and under the noise."""

    names: list[str]
    titles: dict[str, str]  # by name
    leader: int
    pairs: list[Comparison]
    by_weights: np.ndarray  # (candidates, draws)
    by_noise: np.ndarray  # (candidates, draws)
    first_probability: dict[str, float]
    flips: list[Flip]


def _find_leader(candidates: Sequence[Candidate], weights: Mapping[str, float]) -> int:
    """Return the index of the candidate with the best score at these weights."""
    scores = [sum(weight * candidate.points[name] for name, weight in weights.items()) for candidate in candidates]
    return int(np.argmax(scores))


def _weigh(candidates: Sequence[Candidate], weights: Mapping[str, float]) -> _Weighing:
    names = [candidate.name for candidate in candidates]
    shares = np.array(list(weights.values()))
    points = np.array([[candidate.points[name] for name in weights] for candidate in candidates])
    # (candidates, criteria, draws)
    points_drawn = np.array([[candidate.points_drawn[name] for name in weights] for candidate in candidates])
    weights_drawn = np.random.default_rng(1).dirichlet(CONCENTRATION * shares, DRAWS).T
    first = _share_first_place((points_drawn * weights_drawn).sum(axis=1)).mean(axis=1)
    leader = _find_leader(candidates, weights)
    scores = {candidate.name: score_by_round(candidate, weights) for candidate in candidates}
    return _Weighing(
        names=names,
        titles={candidate.name: candidate.title for candidate in candidates},
        leader=leader,
        pairs=compare(scores, "more", EQUAL),
        by_weights=points @ weights_drawn,
        by_noise=np.einsum("kcd,c->kd", points_drawn, shares),
        first_probability={name: float(share) for name, share in zip(names, first)},
        flips=find_flips(candidates, candidates[leader], weights),
    )


def _share_first_place(scores: np.ndarray) -> np.ndarray:
    """Return, of (candidates, draws) scores, the share of the first place in each draw; equal scores share it."""
    leading = scores >= scores.max(axis=0) - 1e-12
    return np.asarray(leading / leading.sum(axis=0))


def _judge(weighing: _Weighing) -> Decision:
    """Return the decision on two candidates or more."""
    names, titles, lead, by_weights = weighing.names, weighing.titles, weighing.leader, weighing.by_weights
    leader = names[lead]
    pairs = {pair.b if pair.a == leader else pair.a: pair for pair in weighing.pairs if leader in (pair.a, pair.b)}
    rivals = [name for name, pair in pairs.items() if not (pair.separated and pair.a == leader)]
    open_rivals = [name for name in rivals if pairs[name].separated or pairs[name].more_runs]
    sure = float(np.mean(by_weights[lead] >= by_weights.max(axis=0) - 1e-12)) >= SURE
    reach = np.quantile(np.abs(by_weights[lead] - by_weights), 1 - SURE / 2, axis=1)
    alike = all(reach[names.index(name)] <= math.log2(1 + EQUAL) for name in rivals)
    if rivals and not open_rivals and (sure or alike):
        reason = "within 5 % of each other, beyond the noise and the doubt about the weights"
        return _conclude(weighing, Verdict.TIE, [leader, *rivals], reason)
    if sure and not rivals:
        probability = format_probability(weighing.first_probability[leader])
        reason = f"it stays first if the weights change a little, with a probability of {probability}"
        return _conclude(weighing, Verdict.CLEAR, [leader], reason)
    challenger = _find_challenger(weighing)
    if not sure and (names[challenger] not in open_rivals or _is_weight_doubt_larger(weighing, challenger)):
        reason = f"{titles[leader]} at these weights; {_describe_flip(weighing, names[challenger])}"
        return _conclude(weighing, Verdict.DEPENDS, [leader, names[challenger]], reason)
    reason = f"the noise does not separate {titles[leader]} from {' and '.join(titles[name] for name in open_rivals)}"
    more = max(pairs[rival].more_runs or 1 for rival in open_rivals)
    return _conclude(weighing, Verdict.NOT_ENOUGH_EVIDENCE, [], reason, more)


def _conclude(
    weighing: _Weighing, verdict: Verdict, choice: list[str], reason: str, more_runs: int | None = None
) -> Decision:
    return Decision(
        verdict=verdict,
        choice=choice,
        reason=reason,
        leader=weighing.names[weighing.leader],
        more_runs=more_runs,
        flips=weighing.flips,
        first_probability=weighing.first_probability,
    )


def _find_challenger(weighing: _Weighing) -> int:
    """Return the index of the candidate that is first for most drawn weights, after the leader."""
    indices = np.delete(np.arange(len(weighing.names)), weighing.leader)
    return int(indices[np.argmax(_share_first_place(weighing.by_weights)[indices].mean(axis=1))])


def _is_weight_doubt_larger(weighing: _Weighing, challenger: int) -> bool:
    """Return whether the gap to the challenger varies more with the weights than with the noise."""
    by_weights, by_noise = (
        float(np.std(scores[weighing.leader] - scores[challenger]))
        for scores in (weighing.by_weights, weighing.by_noise)
    )
    return by_weights > by_noise


def _describe_flip(weighing: _Weighing, challenger: str) -> str:
    """Return the challenger, and the nearest weight at which it passes the leader."""
    title = weighing.titles[challenger]
    flip = next((flip for flip in weighing.flips if flip.to == challenger), None)
    if flip is None:
        return f"{title} at others near them"
    return f"{title} where {CRITERIA[flip.criterion]} weighs {flip.at:.0%} instead of {flip.weight:.0%}"
