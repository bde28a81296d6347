"""The result of one fault, and the table of a campaign."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """One fault that was tried; `problem` is None where it was contained."""

    group: str
    name: str
    problem: str | None


def format_table(faults: Sequence[Fault], seconds: dict[str, float]) -> str:
    """Return a Markdown table: group, tried, contained, lost, minutes; then a line for each fault that was lost."""
    lines = ["| group | tried | contained | lost | minutes |", "| --- | ---: | ---: | ---: | ---: |"]
    for group in dict.fromkeys(fault.group for fault in faults):
        lines.append(format_row(group, [fault for fault in faults if fault.group == group], seconds.get(group, 0.0)))
    lines += [format_row("all", faults, sum(seconds.values())), ""]
    lines += [f"- {fault.group}, {fault.name}: {fault.problem}" for fault in faults if fault.problem is not None]
    return "\n".join(lines) + "\n"


def format_row(group: str, faults: Iterable[Fault], seconds: float) -> str:
    """Return a row of the table."""
    problems = [fault.problem for fault in faults]
    lost = sum(problem is not None for problem in problems)
    return f"| {group} | {len(problems)} | {len(problems) - lost} | {lost} | {seconds / 60:.1f} |"
