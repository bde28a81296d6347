"""`crossframe parity`: the matrix of verdicts, for a terminal or as JSON."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness import run
from harness.effects import described, effect
from harness.inputs import write_inputs
from harness.messages import say
from harness.plan import Plan, task_of
from harness.prove import prove_all


def examine(plan: Plan, seed: int, work: bool) -> list[dict[str, Any]]:
    """{cell, state, reason, hint, dialect, effect, checks} of every cell of a plan; `work` out the effects, or not."""
    cells = list(dict.fromkeys(job.cell for job in plan.jobs))
    ready, failed = run.prepared(plan, list(plan.jobs))
    found = []
    with tempfile.TemporaryDirectory(prefix="crossframe-") as name:
        folder = Path(name)
        data_dir = Path(plan.options["data_dir"]) if plan.options["data_dir"] else None
        for cell in cells:
            if not run.inputs_of(folder, cell).exists():
                write_inputs(run.inputs_of(folder, cell), task_of(plan, cell), plan.options["data"], data_dir, seed)
        wanted = [cell for cell in cells if cell.backend in ready]
        known = run.oracles(plan, folder, wanted, seed)
        for cell, verdict in prove_all(wanted, plan.backends, ready, known, folder / "jobs", plan.options):
            found.append({"cell": asdict(cell), **verdict})
            inputs = run.inputs_of(folder, cell)
            found[-1]["effect"] = effect(task_of(plan, cell), inputs, verdict["dialect"], work)
            where = f"{cell.task} {cell.backend} {cell.mode} {cell.precision}"
            say(f"[{len(found)}/{len(cells)}] {where}: {verdict['state']}")
    for cell in cells:
        if cell.backend not in ready:
            reason = failed.get(cell.backend, f"{cell.backend} names no requirements for {plan.device}")
            nothing: dict[str, Any] = {"hint": None, "dialect": {}, "effect": None, "checks": []}
            found.append({"cell": asdict(cell), "state": "not_installed", "reason": reason, **nothing})
    return found


def as_text(verdicts: list[dict[str, Any]]) -> str:
    """A line a cell: its state, its worst checks by kind, its dialect; below it, what failed and the hint."""
    lines = [
        f"{'task':<12} {'backend':<11} {'mode':<10} {'precision':<9} {'parity':<13} "
        "worst error by kind of check (x: float32 rounding of the same check)"
    ]
    for verdict in verdicts:
        cell = verdict["cell"]
        row = (
            f"{cell['task']:<12} {cell['backend']:<11} {cell['mode']:<10} {cell['precision']:<9} {verdict['state']:<13}"
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
