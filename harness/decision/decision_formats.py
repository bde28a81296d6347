"""The formats of a decision: JSON, and a Markdown record for the archive of a team."""

from __future__ import annotations

from collections.abc import Callable

from crossframe.harness.console import escape_markdown, markdown_table
from crossframe.harness.decision.criteria import CRITERIA, MEASURED
from crossframe.harness.decision.decision_record import CriterionValue, DecisionRecord
from crossframe.harness.records.codec import to_json


def as_json(record: DecisionRecord) -> str:
    """Return the record as JSON."""
    return to_json(record, indent=1) + "\n"


def as_markdown(record: DecisionRecord) -> str:
    """Return the record as Markdown."""
    choice = ", ".join(record.choice) or "no recommendation"
    more = f" About {record.more_runs} more repeats would settle it." if record.more_runs else ""
    requirements = ["runs and is verified equal", *record.requirements]
    parts = [
        f"# Decision: {escape_markdown(choice)}",
        "",
        f"{record.date}, use case {escape_markdown(record.use_case)}, run {escape_markdown(record.run.name)} "
        f"of {escape_markdown(record.run.created)}, preset {escape_markdown(record.run.preset)}.",
        "",
        f"**{record.verdict}**: {escape_markdown(record.reason)}.{more}",
        *_section("Candidates", _list_candidates(record)),
        *_section("Requirements", [f"- {escape_markdown(text)}" for text in requirements]),
        *_section("Criteria", _tabulate_criteria(record)),
        *_section("Sensitivity to the weights", _list_flips(record)),
        *_section("Sources", _list_sources(record)),
        *_section("Judgements", [f"- {text}" for text in record.judged]),
        *_section("Scope", [f"Measured: {escape_markdown(_name_workloads(record))}.", ""]),
        "Not covered:",
        "",
        *[f"- {text}" for text in record.silent_about],
        *_section("Review", [f"Decide again on {record.look_again}, or if a candidate or the machine changes."]),
        *[f"\nwarning: {escape_markdown(text)}" for text in record.warnings],
    ]
    return "\n".join(parts) + "\n"


def _section(heading: str, lines: list[str]) -> list[str]:
    return ["", f"## {heading}", "", *lines] if lines else []


def _list_candidates(record: DecisionRecord) -> list[str]:
    lines = []
    for candidate in record.candidates:
        modes = ", ".join(dict.fromkeys(f"{workload.task} {workload.mode}" for workload in candidate.workloads))
        text = f"excluded: {candidate.excluded}" if candidate.excluded else f"repeats {candidate.rounds} ({modes})"
        if candidate.first_probability is not None:
            text += f", first with a probability of {candidate.first_probability:.0%}"
        lines.append(f"- {escape_markdown(candidate.name)}: {escape_markdown(text)}")
    return lines


def _tabulate_criteria(record: DecisionRecord) -> list[str]:
    """Return a table with a row per criterion: its weight, its kind, and every candidate that has values."""
    candidates = [candidate for candidate in record.candidates if candidate.values]
    if not candidates:
        return []
    base = next((candidate for candidate in candidates if candidate.name in record.choice), candidates[0])
    rows = [
        [
            f"{about} (`{name}`)",
            f"{record.weights[name]:.0%}",
            "measured" if name in MEASURED else "looked up",
            *(_format_value(candidate.values.get(name), base.values.get(name)) for candidate in candidates),
        ]
        for name, about in CRITERIA.items()
    ]
    headings = ["criterion", "weight (judged)", "kind", *(candidate.name for candidate in candidates)]
    intro = f"Measured: ratio to {escape_markdown(base.name)}; above 1 is better."
    return [intro, "", *markdown_table(headings, rows)]


def _format_value(value: CriterionValue | None, base: CriterionValue | None) -> str:
    """Return a measured value as the factor by which it is better (above 1) or worse than that of `base`."""
    if value is None:
        return "-"
    if value.points is None:
        return "unknown"
    if value.kind == "looked up":
        return "yes" if value.points else "no"
    return "-" if base is None or base.points is None else f"{2 ** (value.points - base.points):.2f}x"


def _list_flips(record: DecisionRecord) -> list[str]:
    return [
        f"- {flip.criterion} at {flip.at:.0%} instead of {flip.weight:.0%}: {escape_markdown(flip.to)} comes first"
        for flip in record.flips
    ]


def _list_sources(record: DecisionRecord) -> list[str]:
    """Return a line for each looked-up fact that is weighed or required: its value, date and source."""
    relevant = {*CRITERIA, *(text.partition("=")[0] for text in record.requirements)}
    lines = []
    for candidate in record.candidates:
        for name, fact in candidate.facts.items():
            if name in relevant:
                value = {True: "yes", False: "no"}[fact.value] if isinstance(fact.value, bool) else fact.value
                note = f", {fact.note}" if fact.note else ""
                lines.append(f"- {candidate.name}, {name}: {value}{note} ({fact.date}, {fact.source})")
    return [escape_markdown(line) for line in lines]


def _name_workloads(record: DecisionRecord) -> str:
    names = {
        f"{workload.task} (batch {workload.batch_size}, {workload.precision}, {workload.device})"
        for candidate in record.candidates
        for workload in candidate.workloads
    }
    return ", ".join(sorted(names)) or "nothing"


FORMATS: dict[str, Callable[[DecisionRecord], str]] = {"md": as_markdown, "json": as_json}
