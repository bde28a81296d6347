"""The commands that read stored runs: report, decide, compare, history."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import click

from crossframe.harness.cli.options import add_format, add_list, add_wide, write_run_command
from crossframe.harness.cli.parameters import NAMES, PATH, SHARE
from crossframe.harness.console import render_markdown, say
from crossframe.harness.errors import DONE, GATE_TRIPPED, UNDECIDED, UsageError
from crossframe.harness.plan.options import RESULTS

if TYPE_CHECKING:
    from crossframe.harness.report.model import Report

DEFAULT_USE_CASE = "research"


def warn(warnings: Iterable[str]) -> None:
    """Print warnings to stderr."""
    for warning in warnings:
        say(f"warning: {warning}")


@click.command()
@click.argument("run", type=PATH, metavar="RUN")
@add_format("table", "json", "csv", "md", "html", "parquet")
@add_wide
def report(run: Path, output_format: str, wide: bool) -> int:
    """Print the report of the run in the folder RUN again, from its records."""
    from crossframe.harness.records import parquet, store
    from crossframe.harness.report import document

    if output_format == "parquet":
        sys.stdout.buffer.write(parquet.to_parquet(store.read_with_warnings(run)))
        return DONE
    result, records = document.read_report(run)
    if output_format != "table":  # whose notes have them
        warn(result.warnings)
    if output_format == "html":
        from crossframe.harness.report.page import page

        print(page.write_page_of(run, result, records))
        return DONE
    print(format_report(result, output_format, wide), end="")
    if output_format == "table":
        path = run / "report.html"
        say(f"report: {path}" if path.exists() else f"HTML report: crossframe report {run} --format html")
    return DONE


def format_report(report: Report, output_format: str, wide: bool) -> str:
    """Return a report in a format; a `wide` table has all columns, however wide the terminal is."""
    from crossframe.harness.report import formats, summary

    if output_format == "table" and not wide:
        return summary.as_summary(report)
    return formats.FORMATS[output_format](report)


@click.command()
@click.argument("run", type=PATH, metavar="RUN")
@click.option(
    "--use-case",
    metavar="NAME",
    help=f"research, production, edge or teaching: weights and requirements (default: {DEFAULT_USE_CASE})",
)
@click.option("--criteria", type=PATH, metavar="FILE", help="JSON file: criterion -> weight, for every criterion")
@add_list(
    "--require",
    "requirements",
    NAMES,
    "exports, device=KIND, a fact, or FACT=VALUE|VALUE; candidates that fail it are excluded",
    metavar="REQUIREMENT,...",
)
@add_format("md", "json")
def decide(run: Path, use_case: str | None, criteria: Path | None, requirements: list[str], output_format: str) -> int:
    """Recommend a backend from the run in the folder RUN, as a decision record; or state that it allows no choice."""
    from crossframe.backends import discover
    from crossframe.harness.decision import decision_formats
    from crossframe.harness.decision.criteria import USE_CASES, read_criteria
    from crossframe.harness.decision.decision_record import build_decision
    from crossframe.harness.plan.plan import select_names

    if use_case and criteria:
        raise UsageError("--use-case and --criteria exclude each other")
    (name,) = select_names("use case", [use_case or DEFAULT_USE_CASE], list(USE_CASES))
    weights = read_criteria(criteria) if criteria else USE_CASES[name]
    record = build_decision(run, discover(), weights, requirements, date.today())
    warn(record.warnings)
    text = decision_formats.FORMATS[output_format](record)
    print(render_markdown(text) if output_format == "md" else text, end="")
    return DONE


@click.command()
@click.argument("run_a", type=PATH, metavar="RUN_A")
@click.argument("run_b", type=PATH, metavar="RUN_B")
@click.option("--fail-if-regress", type=SHARE, metavar="5%", help="exit 4 if a metric is worse by more, beyond noise")
@click.option("--allow-undecided", is_flag=True, help="exit 0 if too few repeats allow no decision, instead of 5")
@click.option("--across-hosts", is_flag=True, help="also compare runs of different machines")
@add_format("table", "json", "md")
def compare(  # noqa: PLR0913 (options of one command)
    run_a: Path,
    run_b: Path,
    fail_if_regress: float | None,
    allow_undecided: bool,
    across_hosts: bool,
    output_format: str,
) -> int:
    """Show what changed from the run in the folder RUN_A to the one in RUN_B: speed, size, accuracy."""
    from crossframe.harness.decision import comparison_formats
    from crossframe.harness.decision.compare import build_run_comparison
    from crossframe.harness.records import store

    comparison = build_run_comparison(run_a, run_b, across_hosts)
    warn(comparison.warnings)
    print(comparison_formats.FORMATS[output_format](comparison), end="")
    if fail_if_regress is None:
        return DONE
    regressions = comparison_formats.describe_regressions(comparison, fail_if_regress)
    for regression in regressions:
        say(f"regressed: {regression}")
    if regressions:
        return GATE_TRIPPED
    cells, repeats = comparison_formats.list_undecided(comparison)
    if not cells or allow_undecided:
        return DONE
    command = write_run_command(replace(store.read_run(run_b).options, repeats=repeats))
    say(f"undecided: {', '.join(cells)}: too few repeats; measure both runs with `{command}`, or add --allow-undecided")
    return UNDECIDED


@click.command()
@click.argument("folder", type=PATH, default=RESULTS, metavar="[FOLDER]")
@add_format("table", "json")
def history(folder: Path, output_format: str) -> int:
    """Show how metrics changed over the runs in FOLDER, host by host (default: results)."""
    from crossframe.harness.decision import history as histories
    from crossframe.harness.records.codec import to_json

    result = histories.build_history(folder)
    warn(result.warnings)
    if output_format == "json":
        print(to_json(result, indent=1))
    else:
        print(histories.as_text(result), end="")
    return DONE
