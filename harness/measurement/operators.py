"""Where the time of a training step goes, by operator: asked of a framework's own profiler, and shown.

It gives the cause of what was measured, "a third is the convolution's gradient", and no figure of its own: profilers
disturb what they watch, each in its own way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backends.contract import Batch, Operator, Unsupported
from harness.measurement.names import names_of

STEPS = 20  # of one batch, as `step_s` has it
KEPT = 20  # operators
OTHERS = "(others)"
NAMED = 3  # operators in a cell's one line
LINE = 60  # characters of a name in that line: a GPU's kernels have names of hundreds


def profiled(model: Any, batch: Batch) -> dict[str, Any]:
    """{state, reason, steps, rows} of some steps of a trained model, whose weights this moves."""
    if not hasattr(model, "profile"):
        raise Unsupported("this backend has no method `profile`")
    batches = [batch] * STEPS
    model.train(batches)  # so that what is compiled for so many is compiled
    model.sync()
    return {"state": "ok", "reason": None, "steps": STEPS, "rows": strongest(model.profile(batches))}


def absent(state: str, reason: str) -> dict[str, Any]:
    return {"state": state, "reason": reason, "steps": None, "rows": []}


def strongest(found: Sequence[Operator]) -> list[dict[str, Any]]:
    """A row for each operator that took the most time, the first the longest; the last one for all others."""
    if not found:
        raise ValueError("the profiler saw no operator")
    ordered = sorted(found, key=lambda operator: operator[2], reverse=True)
    if not all(calls >= 0 and self_s >= 0 for _, calls, self_s in found):
        raise ValueError(f"calls and seconds of 0 or more were expected, not {ordered[-1]}")
    kept, rest = ordered[:KEPT], ordered[KEPT:]
    if rest:
        kept.append((OTHERS, sum(calls for _, calls, _ in rest), sum(self_s for _, _, self_s in rest)))
    return [{"name": str(name), "calls": int(calls), "self_s": float(self_s)} for name, calls, self_s in kept]


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
