"""`crossframe parity`: the verification of all cells of a plan, as a table or as JSON."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from crossframe.harness.console import TableLayout, terminal_table
from crossframe.harness.launch.child import ChildProcess
from crossframe.harness.parity.checks import Check
from crossframe.harness.parity.dialects import dialect_in
from crossframe.harness.parity.effects import describe_effect, dialect_effect
from crossframe.harness.parity.result import CellParity, ParityResult
from crossframe.harness.parity.verify_cells import Verifier, show_progress, write_probe_sets
from crossframe.harness.plan.inputs import draw_inputs
from crossframe.harness.plan.plan import Plan, task_for
from crossframe.harness.plan.readiness import prepare_environments
from crossframe.harness.records.codec import to_json, to_plain
from crossframe.harness.worker.states import State

HEADINGS = ["task", "framework", "parity", "worst error (of what is allowed)"]
STYLES = {state.value: "green" if state == State.OK else "red" for state in State}


def verify_parity(plan: Plan, seed: int, compute_effects: bool) -> list[CellParity]:
    """Return the results of all cells of a plan; `compute_effects` also trains the reference model in each dialect."""
    cells = list(dict.fromkeys(job.cell for job in plan.jobs))
    environments, missing = prepare_environments(plan, plan.backends)
    results = []
    with tempfile.TemporaryDirectory(prefix="crossframe-") as name, closing(ChildProcess()) as child:
        folder = Path(name)
        inputs = {cell: child.call(draw_inputs, plan, folder, cell, seed) for cell in cells}
        runnable = [cell for cell in cells if cell.backend in environments]
        probe_sets = write_probe_sets(plan, folder, runnable, child, seed)
        verifier = Verifier(plan, environments, probe_sets, folder / "jobs", child)
        for cell, result in show_progress(verifier, runnable):
            dialect = dialect_in(result.dialect, cell.precision)
            effect = child.call(dialect_effect, task_for(plan, cell), inputs[cell], dialect, compute_effects)
            results.append(CellParity(cell, result, effect))
    for cell in cells:
        if cell.backend in missing:
            results.append(CellParity(cell, ParityResult(*missing[cell.backend])))
    return results


def format_results(results: Sequence[CellParity], titles: Mapping[str, str]) -> str:
    """Return the results as a table by task; below it the reasons and hints, the dialects, and their effects.

    `titles` are those of the backends, by name.
    """
    several = len({each.cell.precision for each in results}) > 1
    rows, reasons = [], []
    for each in sorted(results, key=lambda each: each.cell.task):
        cell, result = each.cell, each.result
        name = f"{titles[cell.backend]} {cell.mode}"
        variant = f"{name} {cell.precision}" if several else name
        rows.append([cell.task, variant, str(result.state), describe_worst_error(result.checks)])
        if result.reason:
            hint = f"; {result.hint}" if result.hint else ""
            reasons.append(f"{cell.task} {variant}: {result.state}: {result.reason}{hint}")
        for optimizer, reason in result.missing_optimizers.items():
            reasons.append(f"{variant} has no {optimizer}, which {cell.task} does not use: {reason}")
    dialects = {titles[each.cell.backend]: each.result.dialect for each in results if each.result.dialect}
    for title, dialect in dialects.items():
        reasons.append(f"dialect of {title}: {', '.join(f'{name} = {value}' for name, value in dialect.items())}")
    effects = [
        describe_effect(titles[each.cell.backend], each.cell.task, each.effect) for each in results if each.effect
    ]
    layout = TableLayout(wrap=(1,), styles=STYLES, grouped=True)
    return terminal_table(HEADINGS, rows, layout, [*dict.fromkeys(reasons), *dict.fromkeys(effects)])


def format_json(results: Sequence[CellParity]) -> str:
    """Return the results as a JSON list of `{cell, state, reason, hint, dialect, modes, checks, effect}`."""
    rows = [{"cell": each.cell, **to_plain(each.result), "effect": each.effect} for each in results]
    return to_json(rows, indent=1) + "\n"


def describe_worst_error(checks: Sequence[Check]) -> str:
    """Return the numerical error that is the largest share of what is allowed, and that share: `weights 1e-05 (10%)`.

    Allowed is the tolerance, or a multiple of the cost of rounding where that is more.
    """
    numerical = [check for check in checks if check.kind in ("outputs", "loss", "gradient", "weights")]
    if not numerical:
        return ""
    worst = max(numerical, key=lambda check: check.error / check.allowed)
    return f"{worst.kind} {worst.error:.0e} ({worst.error / worst.allowed:.0%})"
