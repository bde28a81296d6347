"""The commands that verify, train and measure: run, plan, parity, infer, conformance."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from crossframe.harness.cli.interpreters import check_interpreters
from crossframe.harness.cli.options import (
    REPETITION,
    SELECTION,
    add_format,
    add_run_options,
    add_wide,
    write_run_command,
)
from crossframe.harness.cli.parameters import PATH
from crossframe.harness.cli.result_commands import format_report
from crossframe.harness.console import fit_terminal, say
from crossframe.harness.errors import CELL_FAILED, DONE, GATE_TRIPPED, INTERRUPTED, MISSING, ExitCode, MissingError
from crossframe.harness.files import lock_folder, remove_folder
from crossframe.harness.plan.options import RESULTS, create_run_folder, usable_cpus
from crossframe.harness.records.model import RunOptions
from crossframe.harness.worker.states import State

if TYPE_CHECKING:
    from crossframe.harness.plan.plan import Plan
    from crossframe.harness.run.conformance import ConformanceResult

INFER_BATCH_SIZES = [1, 8, 64, 512]


@click.command()
@add_run_options([*SELECTION, *REPETITION])
@click.option("--out", type=PATH, metavar="DIR", help="new folder for the run (default: one under results/)")
@click.option(
    "--resume",
    type=PATH,
    metavar="RUN",
    help="continue an interrupted run, or one that needs more --repeats; of the other options only --python and "
    "--data-dir apply",
)
@add_format("table", "json", "csv", "md")
@add_wide
def run(options: RunOptions, out: Path | None, resume: Path | None, output_format: str, wide: bool) -> int:
    """Train, measure and export; ends in the answer, a table and an HTML report."""
    from crossframe.harness.report import document
    from crossframe.harness.report.answer import count_needed_repeats
    from crossframe.harness.report.page import page
    from crossframe.harness.run.resume import resume_command
    from crossframe.harness.run.run import run_to_exit_code

    with ExitStack() as stack:
        plan, folder, finished = resume_run(resume, options, stack) if resume else start_new_run(options, out, stack)
        announce(plan)
        say(f"{len(plan.jobs)} jobs on {plan.device} into {folder}")
        code = run_to_exit_code(plan, folder, finished)
    report, records = document.read_report(folder)
    if code != INTERRUPTED:
        print(format_report(report, output_format, wide), end="")
    try:
        say(f"report: {page.write_page_of(folder, report, records)}")
    except MissingError as error:  # the records are complete without a page
        say(f"no HTML report: {error}")
    say(f"other formats: crossframe report {folder} --format json|csv|md|parquet")
    needed = count_needed_repeats(report.cells, report.comparisons, report.run.repeats)
    if needed:
        say(f"to decide more: {resume_command(folder, plan.options)} --repeats {needed}")
    return code


def announce(plan: Plan) -> None:
    """Say what a plan leaves out, and what a round costs if the time budget allows none."""
    from crossframe.harness.plan import estimate

    for note in [*estimate.describe_omissions(plan), *estimate.check_budget(plan, RESULTS)]:
        say(note)


def start_new_run(options: RunOptions, out: Path | None, stack: ExitStack) -> tuple[Plan, Path, set[str]]:
    """Create the folder of a new run; return its plan, the folder, and the names of the jobs that are done: none.

    The folder is locked until the end of `stack`.
    """
    from crossframe.harness.plan.plan import BEST_MODE, make_plan
    from crossframe.harness.run.folder import start_run
    from crossframe.harness.run.mode_trials import choose_modes, try_modes

    check_interpreters(options.python)
    plan, trials = make_plan(options), []
    if BEST_MODE in options.mode:
        trials = try_modes(plan)
        plan = choose_modes(plan, trials)
    folder = create_run_folder(out, options.preset)
    stack.enter_context(lock_folder(folder))
    try:
        start_run(plan, folder, trials)
    except BaseException:
        remove_folder(folder)
        raise
    return plan, folder, set()


def resume_run(folder: Path, options: RunOptions, stack: ExitStack) -> tuple[Plan, Path, set[str]]:
    """Read the folder of an interrupted run; return its plan, the folder, and the names of the jobs that are done.

    The folder is locked until the end of `stack`.
    """
    from crossframe.harness.records import store
    from crossframe.harness.run.folder import resume_plan
    from crossframe.harness.run.resume import continue_with, list_finished, restore_inputs, take_programs

    info = store.read_run(folder)
    stack.enter_context(lock_folder(folder))
    plan = resume_plan(take_programs(info, options, folder))
    plan = continue_with(plan, folder, options.repeats)
    check_interpreters(plan.options.python)
    restore_inputs(plan, folder)
    finished = list_finished(store.read_with_warnings(folder))
    say(f"{len(finished & {job.name for job in plan.jobs})} of {len(plan.jobs)} jobs are already done")
    return plan, folder, finished


@click.command()
@add_run_options([*SELECTION, *REPETITION])
@add_format("table", "json")
def plan(options: RunOptions, output_format: str) -> int:
    """Show what `run` would do and about how long it takes; runs nothing."""
    from crossframe.harness.plan import estimate
    from crossframe.harness.plan.plan import make_plan
    from crossframe.harness.records.codec import to_json

    check_interpreters(options.python)
    planned = make_plan(options)
    result = estimate.estimate(planned, RESULTS)
    print(to_json(result, indent=1) + "\n" if output_format == "json" else estimate.as_table(result), end="")
    for note in estimate.check_budget(planned, RESULTS):
        say(note)
    chosen = replace(options, cpus=[]) if options.cpus == usable_cpus(None) else options
    say(f"to start it: {write_run_command(chosen)}")
    return DONE


@click.command()
@add_run_options(SELECTION)
@click.option("--seed", type=int, default=0, metavar="N", help="seed of the weights and the drawn batches (default: 0)")
@click.option(
    "--dialect-effects",
    is_flag=True,
    help="also train the reference model to the end, to measure what each dialect changes",
)
@add_format("table", "json")
def parity(options: RunOptions, seed: int, dialect_effects: bool, output_format: str) -> int:
    """Verify that the backends compute what the reference model computes."""
    from crossframe.harness.parity import verify
    from crossframe.harness.plan.plan import make_plan

    check_interpreters(options.python)
    planned = make_plan(options)
    announce(planned)
    results = verify.verify_parity(planned, seed, dialect_effects)
    table = verify.format_results(results, planned.titles)
    print(verify.format_json(results) if output_format == "json" else table, end="")
    states = {each.result.state for each in results}
    if State.NOT_INSTALLED in states:
        return MISSING
    return GATE_TRIPPED if states - {State.OK, State.UNSUPPORTED} else DONE


@click.command()
@add_run_options([*SELECTION, "repeats"])
@add_format("table", "json")
def infer(options: RunOptions, output_format: str) -> int:
    """Measure inference alone, beside onnxruntime on the exported file; without a ranking."""
    from crossframe.harness.plan.plan import make_plan
    from crossframe.harness.records.codec import to_json
    from crossframe.harness.run import inference

    check_interpreters(options.python)
    planned = make_plan(replace(options, batch_size=[], repeats=options.repeats or 1))
    announce(planned)
    rows = inference.measure_inference(planned, options.batch_size or INFER_BATCH_SIZES)
    table = fit_terminal(inference.format_rows(rows, planned.titles))
    text = to_json(rows, indent=1) + "\n" if output_format == "json" else table
    print(text, end="")
    return CELL_FAILED if any(row.state not in (State.OK, State.UNSUPPORTED) for row in rows) else DONE


@click.command()
@click.argument("name", metavar="NAME")
@add_run_options([*SELECTION], RunOptions(preset="quick", parity=False))
@add_format("table", "json")
def conformance(options: RunOptions, name: str, output_format: str) -> int:
    """Check one backend, built-in or third-party, against the whole contract."""
    from crossframe.harness.plan.plan import make_plan, select_backends
    from crossframe.harness.records.codec import to_json
    from crossframe.harness.run.conformance import check_conformance, summarize_results

    check_interpreters(options.python)
    # Named one by one, so that modes that the device can't run are listed as unsupported, not left out.
    modes = options.mode or [mode for backend in select_backends([name]).values() for mode in backend.manifest.modes]
    plan = make_plan(replace(options, backend=[name], mode=modes))
    if output_format == "table":
        return print_conformance(check_conformance(plan))
    results = list(check_conformance(plan))
    print(to_json(results, indent=1))
    return DONE if summarize_results(results).conforms else GATE_TRIPPED


def print_conformance(results: Iterable[ConformanceResult]) -> ExitCode:
    """Print each result when it arrives, then what they come to; return the exit code."""
    from crossframe.harness.run.conformance import summarize_results

    printed = []
    for result in results:
        printed.append(result)
        print(f"{result.name} {result.state.upper()}" + (f": {result.reason}" if result.reason else ""), flush=True)
    summary = summarize_results(printed)
    for opens, reason in summary.missing.items():
        print(f"missing: {reason}; it would open {opens}")
    print(f"verified: {', '.join(summary.verified) or 'nothing, so the backend does not conform'}")
    print(", ".join(f"{count} {state}" for state, count in summary.counts.items()))
    return DONE if summary.conforms else GATE_TRIPPED
