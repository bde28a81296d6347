"""`crossframe decide`: a decision as one object, and as the Markdown record that a team keeps."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from crossframe.harness.console import escaped
from crossframe.harness.decision import decide
from crossframe.harness.decision.candidates import Candidate, Facts
from crossframe.harness.decision.criteria import CRITERIA, MEASURED, Profile
from crossframe.harness.records import store

UNKNOWN = {"points": None, "kind": "unknown"}
LOOK_AGAIN = timedelta(days=180)  # a judgement: the frameworks here release every one to four months
JUDGED = (
    "the weights",
    "that a factor of two is worth the same in every figure, after half a second of a first step or an import",
    "that a yes of a looked-up fact is worth a factor of two",
    "that workloads count alike",
    "that less than 5 % in all makes no difference",
)
SILENT = (
    "other tasks, larger networks, other batch sizes, other machines",
    "training on several devices, beyond what is looked up",
    "phones and small devices, beyond what is looked up",
    "what your team knows already, and what moving costs",
    "quality: candidates are proven to compute the same, so that it does not tell them apart",
)


def document(
    run: Path, facts: Mapping[str, Facts], profile: Profile, require: list[str], today: date
) -> dict[str, Any]:
    """The decision from the records of a run."""
    told = store.read_run(run)
    found, warnings = store.read(run)
    reached, candidates = decide.decide(found, facts, profile, require)
    return {
        "schema": store.SCHEMA_VERSION,
        "run": {"name": told["name"], "created": told["created"], "preset": told["options"]["preset"]},
        "date": today.isoformat(),
        "look_again": (today + LOOK_AGAIN).isoformat(),
        "profile": profile.name,
        "weights": {name: profile.weights.get(name, 0) / sum(profile.weights.values()) for name in CRITERIA},
        "require": [*dict.fromkeys([*profile.require, *require])],
        **reached,
        "candidates": [of_candidate(one) for one in candidates],
        "judged": list(JUDGED),
        "silent_about": list(SILENT),
        "warnings": warnings,
    }


def of_candidate(one: Candidate) -> dict[str, Any]:
    """{name, out, first, rounds, workloads, values, facts}; the date and source of a looked-up value are its fact's."""
    values: dict[str, dict[str, Any]] = {}
    for name, points in one.plain.items():
        if name in MEASURED:
            values[name] = {"points": points, "kind": "measured"}
        else:
            values[name] = {"points": points, "kind": "looked up"} if name in one.facts else UNKNOWN
    kept = ("task", "mode", "device", "precision", "batch_size")
    return {
        "name": one.name,
        "out": one.out,
        "first": one.first,
        "rounds": len(one.rounds),
        "workloads": [{key: cell[key] for key in kept} for cell in one.cells],
        "values": values,
        "facts": dict(one.facts),
    }


def as_json(told: dict[str, Any]) -> str:
    return json.dumps(told, indent=1) + "\n"


def shown(value: dict[str, Any] | None, against: dict[str, Any] | None) -> str:
    """A measured value as the factor by which it is better (above 1) or worse than the one it stands against."""
    if value is None or value["points"] is None:
        return "unknown" if value else "-"
    if value["kind"] == "looked up":
        return "yes" if value["points"] else "no"
    return f"{2 ** (value['points'] - against['points']):.2f}x" if against else "-"


def table(told: dict[str, Any]) -> list[str]:
    """A row a criterion: its weight, its mark, and every candidate that has values."""
    own = [one for one in told["candidates"] if one["values"]]
    if not own:
        return []
    base = next((one for one in own if one["name"] in told["choice"]), own[0])
    lines = ["| criterion | weight (judged) | mark | " + " | ".join(escaped(one["name"]) for one in own) + " |"]
    lines.append("|" + " --- |" * (3 + len(own)))
    for name, about in CRITERIA.items():
        mark = "measured" if name in MEASURED else "looked up"
        cells = [shown(one["values"].get(name), base["values"].get(name)) for one in own]
        lines.append(f"| {about} (`{name}`) | {told['weights'][name]:.0%} | {mark} | {' | '.join(cells)} |")
    return [f"Measured: how many times as good as {escaped(base['name'])}; above 1 is better.", "", *lines]


def sources(told: dict[str, Any]) -> list[str]:
    """A line a looked-up fact that is weighed or required: what it says, when and where."""
    asked = {*CRITERIA, *(text.partition("=")[0] for text in told["require"])}
    lines = []
    for one in told["candidates"]:
        for name, fact in one["facts"].items():
            if name in asked:
                said = {True: "yes", False: "no"}.get(fact.get("value"), fact.get("value"))
                note = f", {fact['note']}" if "note" in fact else ""
                where = f"{fact.get('date', 'no date')}, {fact.get('source', 'no source')}"
                lines.append(f"- {one['name']}, {name}: {said}{note} ({where})")
    return [escaped(line) for line in lines]


def of_candidates(told: dict[str, Any]) -> list[str]:
    """A line a candidate: out and why, or how probably it is first."""
    lines = []
    for one in told["candidates"]:
        modes = ", ".join(dict.fromkeys(f"{cell['task']} {cell['mode']}" for cell in one["workloads"]))
        state = f"out: {one['out']}" if one["out"] else f"repeats {one['rounds']} ({modes})"
        if one["first"] is not None:
            state += f", first with a probability of {one['first']:.0%}"
        lines.append(f"- {escaped(one['name'])}: {escaped(state)}")
    return lines


def as_markdown(told: dict[str, Any]) -> str:
    """The decision record."""
    choice = ", ".join(told["choice"]) or "no recommendation"
    more = f" About {told['more_runs']} more repeats would settle it." if told["more_runs"] else ""
    turns = [
        f"- {flip['criterion']} at {flip['at']:.0%} instead of {flip['weight']:.0%}: {escaped(flip['to'])} comes first"
        for flip in told["flips"]
    ]
    workloads = {
        f"{cell['task']} (batch {cell['batch_size']}, {cell['precision']}, {cell['device']})"
        for one in told["candidates"]
        for cell in one["workloads"]
    }
    parts = [
        f"# Decision: {escaped(choice)}",
        "",
        f"{told['date']}, profile {escaped(told['profile'])}, run {escaped(told['run']['name'])} "
        f"of {escaped(told['run']['created'])}, preset {escaped(told['run']['preset'])}.",
        "",
        f"**{told['verdict']}**: {escaped(told['reason'])}.{more}",
        *section("Candidates", of_candidates(told)),
        *section("Limits", [f"- {escaped(text)}" for text in ["runs and is proven equal", *told["require"]]]),
        *section("Criteria", table(told)),
        *section("Where it flips", turns),
        *section("Sources", sources(told)),
        *section("Judged, not measured", [f"- {text}" for text in told["judged"]]),
        *section("Scope", [f"Measured: {escaped(', '.join(sorted(workloads)) or 'nothing')}.", ""]),
        "It says nothing about:",
        "",
        *[f"- {text}" for text in told["silent_about"]],
        *section("Look again", [f"On {told['look_again']}, or when a candidate or the machine changes before."]),
        *[f"\nwarning: {escaped(text)}" for text in told["warnings"]],
    ]
    return "\n".join(parts) + "\n"


def section(heading: str, lines: list[str]) -> list[str]:
    return ["", f"## {heading}", "", *lines] if lines else []


FORMATS: dict[str, Callable[[dict[str, Any]], str]] = {"md": as_markdown, "json": as_json}
