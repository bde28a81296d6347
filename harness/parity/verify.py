"""`crossframe parity`: the matrix of verdicts, for a terminal or as JSON."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from crossframe.harness.console import say
from crossframe.harness.parity.dialects import spoken
from crossframe.harness.parity.effects import described, effect
from crossframe.harness.parity.prove import prove_all
from crossframe.harness.parity.reference_traces import oracles
from crossframe.harness.plan.inputs import draw
from crossframe.harness.plan.plan import Plan, task_of
from crossframe.harness.plan.readiness import prepared


def examine(plan: Plan, seed: int, work: bool) -> list[dict[str, Any]]:
    """{cell, state, reason, hint, dialect, effect, checks} of every cell of a plan; `work` out the effects, or not."""
    cells = list(dict.fromkeys(job.cell for job in plan.jobs))
    ready, missing = prepared(plan, plan.backends)
    found = []
    with tempfile.TemporaryDirectory(prefix="crossframe-") as name:
        folder = Path(name)
        inputs = {cell: draw(plan, folder, cell, seed) for cell in cells}
        wanted = [cell for cell in cells if cell.backend in ready]
        known = oracles(plan, folder, wanted, seed)
        for cell, verdict in prove_all(wanted, plan.backends, ready, known, folder / "jobs", plan.options):
            found.append({"cell": asdict(cell), **verdict})
            words = spoken(verdict["dialect"], cell.precision)
            found[-1]["effect"] = effect(task_of(plan, cell), inputs[cell], words, work)
            where = f"{cell.task} {cell.backend} {cell.mode} {cell.precision}"
            say(f"[{len(found)}/{len(cells)}] {where}: {verdict['state']}")
    for cell in cells:
        if cell.backend not in ready:
            state, reason = missing[cell.backend]
            nothing: dict[str, Any] = {"hint": None, "dialect": {}, "effect": None, "checks": []}
            found.append({"cell": asdict(cell), "state": state, "reason": reason, **nothing})
    return found


def as_text(verdicts: list[dict[str, Any]]) -> str:
    """A line a cell: its state, its worst checks by kind, its dialect; below it, what failed and the hint."""
    lines = [
        f"{'task':<12} {'backend':<11} {'mode':<12} {'precision':<9} {'parity':<13} "
        "worst error by kind of check (x: what rounding may cost the same check)"
    ]
    for verdict in verdicts:
        cell = verdict["cell"]
        row = (
            f"{cell['task']:<12} {cell['backend']:<11} {cell['mode']:<12} {cell['precision']:<9} {verdict['state']:<13}"
        )
        lines.append(f"{row} {', '.join(worst_by_kind(verdict['checks']))}")
        if verdict["reason"]:
            lines.append(f"    {verdict['reason']}" + (f"; {verdict['hint']}" if verdict["hint"] else ""))
    spoken = {verdict["cell"]["backend"]: verdict["dialect"] for verdict in verdicts if verdict["dialect"]}
    for backend, dialect in spoken.items():
        lines.append(f"dialect of {backend}: {', '.join(f'{word} = {value}' for word, value in dialect.items())}")
    effects = [(verdict["cell"], verdict["effect"]) for verdict in verdicts if verdict["effect"]]
    lines += dict.fromkeys(described(cell["backend"], cell["task"], found) for cell, found in effects)
    return "\n".join(lines) + "\n"


def worst_by_kind(checks: list[dict[str, Any]]) -> list[str]:
    worst: dict[str, dict[str, Any]] = {}
    for check in checks:
        if check["what"] in ("outputs", "loss", "gradient", "weights"):
            worst[check["what"]] = max(worst.get(check["what"], check), check, key=lambda one: one["error"])
    said = []
    for what, check in worst.items():
        times = f" ({check['error'] / check['rounding']:.1f}x)" if check["rounding"] else ""
        said.append(f"{what} {check['error']:.0e}{times}")
    return said
