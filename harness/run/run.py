"""`crossframe run`: environments, verification, jobs, evaluation, records."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from crossframe.harness.analysis.labels import cell_labels
from crossframe.harness.analysis.ranking import next_round
from crossframe.harness.console import Progress, say
from crossframe.harness.errors import CELL_FAILED, DONE, GATE_TRIPPED, INTERRUPTED, ExitCode
from crossframe.harness.files import append_line, below
from crossframe.harness.launch.child import ChildProcess
from crossframe.harness.machine.environments import Environment
from crossframe.harness.parity.dialects import dialect_in
from crossframe.harness.parity.effects import dialect_effect
from crossframe.harness.parity.verify_cells import Verifier, show_progress, write_probe_sets
from crossframe.harness.plan.estimate import read_timings
from crossframe.harness.plan.inputs import inputs_path, is_complete
from crossframe.harness.plan.options import RESULTS
from crossframe.harness.plan.plan import Plan, task_for
from crossframe.harness.plan.readiness import prepare_environments
from crossframe.harness.records import store
from crossframe.harness.records.codec import to_json, to_plain
from crossframe.harness.records.model import (
    Cell,
    ParitySummary,
    PlannedJob,
    Record,
)
from crossframe.harness.run.ceilings import measure_ceilings
from crossframe.harness.run.execution import Execution
from crossframe.harness.run.job_checks import describe_failures
from crossframe.harness.run.onnx_checker import OnnxChecker
from crossframe.harness.run.pins import Pins, read_pins
from crossframe.harness.run.resume import resume_command
from crossframe.harness.selftest.clock_gate import check_clocks, withhold
from crossframe.harness.worker.states import State


def execute(plan: Plan, folder: Path, finished: Collection[str]) -> None:
    """Verify every cell with pending jobs, run those jobs (one record each), then use up the remaining time budget.

    `finished` has the names of the jobs that have a record already.
    """
    pending = [job for job in plan.jobs if job.name not in finished]
    budget_s = plan.options.time_budget_s
    # The budget may be used for any cell, also for one without pending jobs.
    cells = list(dict.fromkeys(job.cell for job in (plan.jobs if budget_s else pending)))
    environments, missing = prepare_environments(plan, {cell.backend for cell in cells})
    with closing(ChildProcess()) as child:
        parity = verify_run(plan, folder, cells, environments, child) if plan.options.parity else {}
    parity = withhold(parity, check_clocks(plan, parity, environments, folder / "jobs" / "clock"))
    ceilings = measure_ceilings(plan, folder, environments, sorted({cell.precision for cell in cells}))
    begin = time.monotonic()
    with closing(OnnxChecker(plan.options.timeout_s)) as checker, closing(ChildProcess()) as child:
        pins = Pins(read_pins(folder) or {})
        execution = Execution(plan, folder, environments, missing, parity, ceilings, checker, child, pins)
        titled = [replace(cell, backend=plan.titles[cell.backend]) for cell in cells]
        labels = dict(zip(cells, map(" ".join, cell_labels(titled))))
        execute_jobs(execution, pending, labels)
        if budget_s:
            repeat_until_budget(execution, begin + budget_s, labels)


def execute_jobs(execution: Execution, jobs: Sequence[PlannedJob], labels: Mapping[Cell, str]) -> None:
    """Run jobs and show the progress; `labels` names the cells."""
    options, timings = execution.plan.options, read_timings(RESULTS)
    costs = [timings.expect(options.preset, job.cell, is_complete(execution.plan, job))[0] for job in jobs]
    sizes, started = Counter(job.repeat for job in jobs), Counter[int]()
    with Progress("measuring", costs, unit="jobs", in_seconds=True) as progress:
        for job, cost in zip(jobs, costs):
            started[job.repeat] += 1
            rounds = (
                f" of {execution.plan.repeats}" if job.repeat <= execution.plan.repeats else ""
            )  # no total in a time budget
            position = f"round {job.repeat}{rounds}, cell {started[job.repeat]} of {sizes[job.repeat]}"
            progress.start_item(labels[job.cell], position)
            record = execution.execute_job(job)
            text = f"{labels[job.cell]:<35} {describe_end(record)}"
            progress.end_item(cost, text, notable=record.state != State.OK or trips_gate(record))
            if options.preset == "original":
                print_curve(record)


def describe_end(record: Record) -> str:
    """Return how a job ended."""
    failures = describe_failures(record.evaluation.checks) if record.evaluation else None
    reason = f": {record.reason[:200]}" if record.reason else ""
    if failures:
        reason += f"; the measured job differs from what was verified: {failures}"
    return f"{record.state} in {record.wall_s:.1f} s{reason}"


def print_curve(record: Record) -> None:
    """Print the loss at each evaluation, as the original specification of the tasks does for preset `original`."""
    for point in record.measurements.curve:
        side, loss = ("held-out", point.loss) if point.train_loss is None else ("training", point.train_loss)
        say(f"    epoch {point.epoch:5d}  {side} loss {loss:.6f}")


def repeat_until_budget(execution: Execution, deadline: float, labels: Mapping[Cell, str]) -> None:
    """Run more rounds of the cells that are not yet distinguishable, until none is left or the deadline has passed.

    `deadline` is a time of the monotonic clock.
    """
    while True:
        records = store.read(execution.folder)[0]
        remaining_s = deadline - time.monotonic()
        cells = next_round(records, remaining_s)
        if not cells:
            return
        repeat = 1 + max(record.repeat for record in records)
        say(f"round {repeat}: {len(cells)} cells are not yet distinguishable, {max(0.0, remaining_s):.0f} s left")
        jobs = [PlannedJob(cell, repeat) for cell in random.Random(repeat).sample(cells, len(cells))]
        execute_jobs(execution, jobs, labels)


def verify_run(
    plan: Plan, folder: Path, cells: Sequence[Cell], environments: Mapping[str, Environment], child: ChildProcess
) -> dict[Cell, ParitySummary]:
    """Verify the cells whose backend can run; all checks go to `parity.jsonl`. `child` has the reference model."""
    runnable = [cell for cell in cells if cell.backend in environments]
    summaries = {}
    jobs = below(folder.resolve(), "jobs")
    for cell in runnable:
        below(jobs, f"parity-{cell.name}")
    verifier = Verifier(plan, environments, write_probe_sets(plan, folder, runnable, child), jobs, child)
    for cell, result in show_progress(verifier, runnable):
        append_line(below(folder, "parity.jsonl"), to_json({"cell": cell, **to_plain(result)}))
        dialect = dialect_in(result.dialect, cell.precision)
        inputs = inputs_path(folder, cell)
        effect = child.call(dialect_effect, task_for(plan, cell), inputs, dialect, compute=False)
        summaries[cell] = result.summarize(effect)
    return summaries


def run_to_exit_code(plan: Plan, folder: Path, finished: Collection[str]) -> ExitCode:
    """Execute a run and return the exit code; Ctrl-C ends it with all finished jobs stored."""
    try:
        execute(plan, folder, finished)
    except KeyboardInterrupt:
        say(f"\ninterrupted; finished jobs are stored. To continue: {resume_command(folder, plan.options)}")
        return INTERRUPTED
    records = store.read_with_warnings(folder)
    if any(record.state != State.OK for record in records):
        return CELL_FAILED
    return GATE_TRIPPED if any(trips_gate(record) for record in records) else DONE


def trips_gate(record: Record) -> bool:
    """Return whether the parity of a cell failed, or a check of its measured job."""
    parity_failed = record.parity is not None and record.parity.state == State.FAILED
    return parity_failed or any(not check.passed for check in (record.evaluation.checks if record.evaluation else []))
