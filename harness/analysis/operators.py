"""TODO: say what this module is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from crossframe.harness.analysis.labels import names_of
from crossframe.harness.worker.profiling import OTHERS

NAMED = 3  # operators in a cell's one line


LINE = 60  # characters of a name in that line: a GPU's kernels have names of hundreds


def rows(cell: dict[str, Any]) -> list[dict[str, Any]]:
    """{name, calls, self_s, share} of one step of a report's cell; share of all operators' time. [] for no profile."""
    told = cell.get("operators")
    if not told or told["state"] != "ok":
        return []
    total_s = sum(row["self_s"] for row in told["rows"])
    return [
        {
            "name": row["name"],
            "calls": row["calls"] / told["steps"],
            "self_s": row["self_s"] / told["steps"],
            "share": row["self_s"] / total_s if total_s else 0.0,
        }
        for row in told["rows"]
    ]


def lines(cells: Sequence[dict[str, Any]]) -> list[str]:
    """A line for every cell asked: how much of a step is in operators, and which lead; or why that is unknown."""
    said = []
    for cell, name in zip(cells, names_of(cells)):
        told, found, where = cell.get("operators"), rows(cell), " ".join(name)
        if told and told["state"] != "ok":
            said.append(f"{where}: no profile: {told['state']}: {told['reason']}")
        elif found:
            leading = [f"{row['share']:.0%} {row['name'][:LINE]}" for row in found if row["name"] != OTHERS][:NAMED]
            total_ms = sum(row["self_s"] for row in found) * 1e3
            said.append(f"{where}: {total_ms:.3g} ms of operators a step, in the profiler: {', '.join(leading)}")
    return said


def table(cells: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Every row of every cell, as text: the headings first; [] where no cell has any."""
    body = []
    for cell, where in zip(cells, names_of(cells)):
        for row in rows(cell):
            said = [f"{row['calls']:g}", f"{row['self_s'] * 1e3:.4f}", f"{row['share']:.1%}"]
            body.append([*where, row["name"], *said])
    return body and [["task", "backend", "mode", "operator", "calls a step", "own ms a step", "share"], *body]
