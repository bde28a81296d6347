"""The formats of a decision: JSON, and a Markdown record that a team completes and signs."""

from __future__ import annotations

from collections.abc import Callable

from crossframe.harness.console import escape_markdown, markdown_table
from crossframe.harness.decision import decision_sections as sections
from crossframe.harness.decision.decision_record import DecisionRecord
from crossframe.harness.records.codec import to_json


def as_json(record: DecisionRecord) -> str:
    """Return the record as JSON."""
    return to_json(record, indent=1) + "\n"


def as_markdown(record: DecisionRecord) -> str:
    """Return the record as Markdown."""
    titles = sections.map_titles(record)
    choice = " or ".join(titles[name] for name in record.choice) or "no recommendation"
    more = f" About {record.more_runs} more repeats would settle it." if record.more_runs else ""
    requirements = ["runs and is verified equal", *record.requirements]
    signatures = [[role, "", "", ""] for role in ("owner", "reviewer")]
    parts = [
        f"# Decision: {escape_markdown(choice)}",
        "",
        *sections.list_header(record),
        "",
        f"**{record.verdict}**: {escape_markdown(record.reason)}.{more}",
        *_section("Candidates", sections.list_candidates(record)),
        *_section("Requirements", [f"- {escape_markdown(text)}" for text in requirements]),
        *_section("Criteria", sections.tabulate_criteria(record)),
        *_section("Workloads", sections.tabulate_workloads(record)),
        *_section("Sensitivity to the weights", sections.list_flips(record)),
        *_section("Consequences", sections.list_consequences(record)),
        *_section("Cost of switching", sections.tabulate_switching(record)),
        *_section("Not measured", [f"- {escape_markdown(text)}" for text in record.not_measured]),
        *_section("Judgements", [f"- {escape_markdown(text)}" for text in record.judged]),
        *_section("Sources", sections.list_sources(record)),
        *_section("Signatures", markdown_table(["role", "name", "date", "accepted or rejected"], signatures)),
        *[f"\nwarning: {escape_markdown(text)}" for text in record.warnings],
    ]
    return "\n".join(parts) + "\n"


def _section(heading: str, lines: list[str]) -> list[str]:
    return ["", f"## {heading}", "", *lines] if lines else []


FORMATS: dict[str, Callable[[DecisionRecord], str]] = {"md": as_markdown, "json": as_json}
