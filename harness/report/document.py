"""The report of a run as one typed object, built from its records alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from crossframe.backends import discover
from crossframe.harness.analysis import fairness, metrics, ranking, warnings
from crossframe.harness.analysis.frameworks import resolve_titles
from crossframe.harness.records import store
from crossframe.harness.records.model import SCHEMA_VERSION, Record, RunInfo
from crossframe.harness.report.framework_profiles import build_profiles
from crossframe.harness.report.model import Report, RunSummary, TaskReport
from crossframe.harness.report.titles import title_records
from crossframe.tasks.describe import describe_task
from crossframe.tasks.spec import from_json


def build_report(run: Path) -> Report:
    """Return the report of the run in a folder; NoRunError if the folder holds no run."""
    return read_report(run)[0]


def read_report(run: Path) -> tuple[Report, list[Record]]:
    """Return the report of the run in a folder, and its records; NoRunError if the folder holds no run."""
    records, damaged_lines = store.read(run)
    info = store.read_run(run)
    uncompiled = {name: backend.uncompiled_mode for name, backend in info.backends.items() if backend.uncompiled_mode}
    cells, comparisons = ranking.rank(metrics.build_cell_reports(records, uncompiled), records)
    portability, damaged_files = store.read_portability(run)
    titles = resolve_titles(info.backends, [cell.backend for cell in cells])
    report = Report(
        schema=SCHEMA_VERSION,
        run=summarize_run(info, records),
        host=info.host,
        selftest=info.selftest,
        tasks={
            name: TaskReport(task.parameters, task.baseline, describe(info, name)) for name, task in info.tasks.items()
        },
        cells=cells,
        comparisons=comparisons,
        receipts=fairness.fairness_rows(records),
        profiles=build_profiles(cells, portability or [], titles, discover()),
        warnings=damaged_lines + damaged_files + warnings.warnings(title_records(records, titles), info.host),
        portability=portability,
    )
    return report, records


def summarize_run(info: RunInfo, records: Sequence[Record]) -> RunSummary:
    """Return the main options of a run, and the number of repeats that were actually run."""
    return RunSummary(
        name=info.name,
        created=info.created,
        preset=info.options.preset,
        data=info.options.data,
        repeats=max((record.repeat for record in records), default=0),
        threads=len(info.options.cpus),
        best_modes=bool(info.trials),
    )


def describe(info: RunInfo, task: str) -> str | None:
    """Return a task in one sentence; None in old runs, which did not store the specifications of their tasks."""
    return describe_task(from_json(info.specs[task])) if task in info.specs else None
