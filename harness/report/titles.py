"""Titles of frameworks in place of the names of backends, for everything that people read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from crossframe.harness import runtimes
from crossframe.harness.analysis import fairness
from crossframe.harness.records.model import Record
from crossframe.harness.report.model import Report


def title_report(report: Report) -> Report:
    """Return the report with the titles of frameworks; files for programs keep the names of backends."""
    titles = map_titles(report)
    runtime_titles = {name: runtime.manifest.title for name, runtime in runtimes.discover().items()}
    variants = {cell.cell.variant: f"{titles[cell.backend]} {cell.mode}" for cell in report.cells}
    receipts = [replace(row, backend=titles.get(row.backend, row.backend)) for row in report.receipts]
    withheld = "; ".join(fairness.differences(receipts)) or None
    portability = report.portability and [
        replace(
            result,
            exporter=titles.get(result.exporter, result.exporter),
            runtime=runtime_titles.get(result.runtime, result.runtime),
        )
        for result in report.portability
    ]
    return replace(
        report,
        cells=[
            replace(cell, backend=titles[cell.backend], withheld=cell.withheld and withheld) for cell in report.cells
        ],
        receipts=receipts,
        comparisons=[replace(pair, a=variants[pair.a], b=variants[pair.b]) for pair in report.comparisons],
        portability=portability,
    )


def title_records(records: Iterable[Record], titles: Mapping[str, str]) -> list[Record]:
    """Return the records with titles in their cells."""
    return [
        replace(record, cell=replace(record.cell, backend=titles.get(record.cell.backend, record.cell.backend)))
        for record in records
    ]


def map_titles(report: Report) -> Mapping[str, str]:
    """Return the title of each backend of a report."""
    return {profile.backend: profile.title for profile in report.profiles}
