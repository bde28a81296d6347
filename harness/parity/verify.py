"""`crossframe parity`: the verification of all cells of a plan, as a table or as JSON."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from crossframe.harness.console import say
from crossframe.harness.parity.checks import Check
from crossframe.harness.parity.dialects import dialect_in
from crossframe.harness.parity.effects import describe_effect, dialect_effect
from crossframe.harness.parity.reference_traces import build_reference_traces
from crossframe.harness.parity.result import CellParity, ParityResult
from crossframe.harness.parity.verify_cells import Verifier, verify_cells
from crossframe.harness.plan.inputs import draw_inputs
from crossframe.harness.plan.plan import Plan, task_for
from crossframe.harness.plan.readiness import prepare_environments
from crossframe.harness.records.codec import to_json, to_plain

HEADING = (
    f"{'task':<12} {'backend':<11} {'mode':<12} {'precision':<9} {'parity':<13} "
    "worst error by kind of check (x: multiple of the cost of rounding)"
)


def verify_parity(plan: Plan, seed: int, compute_effects: bool) -> list[CellParity]:
    """Return the results of all cells of a plan; `compute_effects` also trains the reference model in each dialect."""
    cells = list(dict.fromkeys(job.cell for job in plan.jobs))
    environments, missing = prepare_environments(plan, plan.backends)
    results = []
    with tempfile.TemporaryDirectory(prefix="crossframe-") as name:
        folder = Path(name)
        inputs = {cell: draw_inputs(plan, folder, cell, seed) for cell in cells}
        runnable = [cell for cell in cells if cell.backend in environments]
        references = build_reference_traces(plan, folder, runnable, seed)
        verifier = Verifier(plan, environments, references, folder / "jobs")
        for cell, result in verify_cells(verifier, runnable):
            dialect = dialect_in(result.dialect, cell.precision)
            effect = dialect_effect(task_for(plan, cell), inputs[cell], dialect, compute_effects)
            results.append(CellParity(cell, result, effect))
            label = f"{cell.task} {cell.backend} {cell.mode} {cell.precision}"
            say(f"[{len(results)}/{len(cells)}] {label}: {result.state}")
    for cell in cells:
        if cell.backend in missing:
            results.append(CellParity(cell, ParityResult(*missing[cell.backend])))
    return results


def format_results(results: Sequence[CellParity]) -> str:
    """Return the results as a table: a line for each cell, below it the reason and the hint; last, the dialects."""
    lines = [HEADING]
    for each in results:
        cell, result = each.cell, each.result
        label = f"{cell.task:<12} {cell.backend:<11} {cell.mode:<12} {cell.precision:<9} {result.state:<13}"
        lines.append(f"{label} {', '.join(describe_worst_errors(result.checks))}")
        if result.reason:
            lines.append(f"    {result.reason}" + (f"; {result.hint}" if result.hint else ""))
    dialects = {each.cell.backend: each.result.dialect for each in results if each.result.dialect}
    for backend, dialect in dialects.items():
        lines.append(f"dialect of {backend}: {', '.join(f'{name} = {value}' for name, value in dialect.items())}")
    effects = [describe_effect(each.cell.backend, each.cell.task, each.effect) for each in results if each.effect]
    return "\n".join([*lines, *dict.fromkeys(effects)]) + "\n"


def format_json(results: Sequence[CellParity]) -> str:
    """Return the results as a JSON list of `{cell, state, reason, hint, dialect, modes, checks, effect}`."""
    rows = [{"cell": each.cell, **to_plain(each.result), "effect": each.effect} for each in results]
    return to_json(rows, indent=1) + "\n"


def describe_worst_errors(checks: Sequence[Check]) -> list[str]:
    """Return the worst error of each kind of numerical check, and how many times the cost of rounding it is."""
    worst: dict[str, Check] = {}
    for check in checks:
        if check.kind in ("outputs", "loss", "gradient", "weights"):
            worst[check.kind] = max(worst.get(check.kind, check), check, key=lambda each: each.error)
    return [
        f"{kind} {check.error:.0e}" + (f" ({check.error / check.rounding:.1f}x)" if check.rounding else "")
        for kind, check in worst.items()
    ]
