"""The first three sentences of the page, and all that its sliders need to weigh again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from crossframe.harness.analysis import ranking
from crossframe.harness.analysis.statistics import fewest_rounds
from crossframe.harness.decision.candidates import candidates, limit
from crossframe.harness.decision.criteria import CRITERIA, LOOKED_UP, MEASURED, USE_CASES
from crossframe.harness.decision.decide import EQUAL, decide_among, beaten_in_all

DEFAULT = "research"  # as of `crossframe decide`
SPEED = "train_samples_per_s"


def flat(value: Any) -> str:
    """Nested plain data as one line of text."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name.replace('_', ' ')} {flat(one)}" for name, one in value.items() if one is not None)
    if isinstance(value, list):
        return ", ".join(map(flat, value)) or "none"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def weighing(cells: list[dict[str, Any]], found: list[dict[str, Any]], facts: Mapping[str, Any]) -> dict[str, Any]:
    """{criteria, fewest, equal, candidates, profiles}: each profile's verdict, and the points to weigh otherwise.

    `out` of a profile is by its limits and by dominance, which no weight changes; who lacks a criterion is out only
    where that weighs.
    """
    known = candidates(found, facts, cells)
    profiles = {}
    for name, profile in USE_CASES.items():
        own = [replace(one) for one in known]
        verdict = decide_among(own, profile, profile.require)
        limits = {
            one.name: one.out or next(filter(None, (limit(one, text) for text in profile.require)), None)
            for one in known
        }
        beaten = beaten_in_all([one for one in known if limits[one.name] is None])
        said = {worse: f"{by} is better in everything, beyond the noise" for worse, by in beaten.items()}
        profiles[name] = {
            **verdict,
            "weights": {one: profile.weights.get(one, 0) for one in CRITERIA},
            "require": list(profile.require),
            "out": {one: said.get(one) or why for one, why in limits.items()},
            "left_out": {one.name: one.out for one in own if one.out},
        }
    left_out: dict[tuple[str, str], list[str]] = {}
    for profile_name, told in profiles.items():
        for one_name, why in told["left_out"].items():
            left_out.setdefault((one_name, why), []).append(profile_name)
    return {
        "left_out": [{"name": name, "why": why, "profiles": own} for (name, why), own in left_out.items()],
        "criteria": {name: {"about": about, "measured": name in MEASURED} for name, about in CRITERIA.items()},
        "fewest": {count: fewest_rounds(count * (count - 1) // 2) for count in range(2, len(known) + 1)},
        "equal": EQUAL,
        "candidates": {
            one.name: {
                "points": {name: round(points, 6) for name, points in one.plain.items()},
                "rounds": {
                    name: [round(own[place], 4) for place in sorted(one.rounds)] for name, own in one.by_round.items()
                },
                "repeats": sorted(one.rounds),
                "unknown": [name for name in LOOKED_UP if one.facts.get(name, {}).get("value") is None],
            }
            for one in known
        },
        "profiles": profiles,
        "default": DEFAULT,
    }


def chosen(verdict: dict[str, Any], profile: str) -> str:
    """A verdict as a sentence."""
    reason, choice = verdict["reason"], listed(verdict["choice"]) if verdict["choice"] else ""
    more = f"; about {verdict['more_runs']} more repeats would settle it" if verdict["more_runs"] else ""
    said = {
        "clear": f"For {profile}, choose {choice}: {reason}",
        "tie": f"For {profile} it is a tie of {choice}: {reason}",
        "depends": f"For {profile} it depends: {reason}",
        "not enough evidence": f"Not enough evidence to choose one for {profile}: {reason}{more}",
        "none fits": f"For {profile} none fits: {reason}",
    }
    out = list(verdict["left_out"])
    without = f"; {listed(out)} {'are' if len(out) > 1 else 'is'} out, as the decision below says" if out else ""
    return f"{said[verdict['verdict']]}{without}."


def fastest(cells: list[dict[str, Any]], names: Mapping[ranking.Key, str]) -> str:
    """Who trains fastest, and where, from tiers alone."""
    won: dict[str, list[str]] = {}
    untold = []
    for key, members in ranking.group_by_family(cells).items():
        first = [ranking.candidate(cell) for cell in members if cell["metrics"][SPEED].get("tier") == 1]
        if first:
            won.setdefault(first[0] if len(first) == 1 else f"a tie of {listed(first)}", []).append(names[key])
        else:
            untold.append(names[key])
    if not won:
        reasons = (cell["metrics"][SPEED].get("tier_reason") for cell in cells)
        return f"No training speed is ranked: {next(filter(None, reasons), 'nothing was measured')}."
    clauses = [f"{who} ({few(where)})" for who, where in won.items()]
    rest = f" Not ranked: {few(untold)}." if untold else ""
    return f"Trains fastest, beyond the noise: {'; '.join(clauses)}.{rest}"


def few(names: list[str]) -> str:
    """The first names of a list that may be long."""
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def trusted(cells: list[dict[str, Any]]) -> str:
    """How much of what was asked ended well and was proven."""
    well = [cell for cell in cells if cell["state"] == "ok"]
    proven = [cell for cell in well if (cell["parity"] or {}).get("state") == "ok"]
    said = f"{len(well)} of {len(cells)} cells ended well"
    if len(proven) == len(cells):
        return f"All {len(cells)} cells ended well and were proven to compute the same before they were measured."
    return f"{said} and {len(proven)} were proven to compute the same; what was not is shown, not ranked."


def sentences(told: dict[str, Any], weighed: dict[str, Any], names: Mapping[ranking.Key, str]) -> list[str]:
    """The answer: what to choose, who is fastest where, and how far to trust it."""
    cells = told["cells"]
    if not cells:
        return ["Nothing was measured yet.", "There is nothing to rank.", "crossframe run --resume goes on."]
    return [chosen(weighed["profiles"][DEFAULT], DEFAULT), fastest(cells, names), trusted(cells)]
