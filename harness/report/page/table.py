"""The rows of the main table, and the notices above it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from crossframe.harness.analysis import labels, metrics
from crossframe.harness.analysis.model import CellReport, Metric
from crossframe.harness.analysis.ranking import is_verified
from crossframe.harness.records.model import Family
from crossframe.harness.report.model import Report
from crossframe.harness.report.page.run_facts import has_failed
from crossframe.harness.report.ratios import Ratio, Ratios, format_interval, format_value
from crossframe.harness.worker.states import State

MOST_WARNINGS = 12
HIDDEN_COLUMNS = ("step_s", "import_s", "onnx_bytes")  # until the reader chooses them


@dataclass(frozen=True)
class Entry:
    """One metric of one cell, as text."""

    metric: str | None
    value: float | None
    text: str
    title: str  # the interval, or why there is none; the reason for a missing value or tier
    tier: int | None
    ratio: Ratio | None  # to the baseline; None where they are not compared


@dataclass(frozen=True)
class Row:
    """One cell of the run."""

    cell: CellReport
    family: str  # task, device, precision and batch size as JSON, the key of its comparisons
    workload: str
    variant: str
    marks: list[str]  # keys of `words.MARKS`
    entries: list[Entry]


@dataclass(frozen=True)
class BackendVersions:
    """The versions with which the cells of a backend were measured."""

    backend: str
    text: str
    mixed: bool


def build_rows(cells: Sequence[CellReport], family_labels: Mapping[Family, str], ratios: Ratios) -> list[Row]:
    """Return the rows of the table: quality, then the columns of `labels.COLUMNS`."""
    return [
        Row(
            cell=cell,
            family=json.dumps([cell.task, cell.device, cell.precision, cell.batch_size], separators=(",", ":")),
            workload=family_labels[cell.cell.family],
            variant=cell.cell.variant,
            marks=list_marks(cell),
            entries=[build_entry(cell, name, ratios) for name in (metrics.find_quality_metric(cell), *labels.COLUMNS)],
        )
        for cell in cells
    ]


def build_entry(cell: CellReport, name: str | None, ratios: Ratios) -> Entry:
    metric = cell.metrics[name] if name else Metric(None, reason="not evaluated")
    divisor = labels.COLUMNS[name][1] if name in labels.COLUMNS else 1
    ratio = ratios.to_baseline(cell.cell.family, name, cell.cell.variant) if name else None
    unranked = [f"not ranked: {metric.tier_reason}"] if metric.value is not None and metric.tier_reason else []
    return Entry(
        metric=name,
        value=metric.value,
        text=format_value(metric, divisor),
        title="; ".join([format_interval(metric, divisor), *unranked]),
        tier=metric.tier,
        ratio=ratio,
    )


def list_marks(cell: CellReport) -> list[str]:
    """Return the marks of a cell, keys of `words.MARKS`: failures, and a dialect with an effect."""
    marks = {
        "state": cell.state != State.OK,
        "parity": not is_verified(cell),
        "dialect": cell.parity is not None and cell.parity.effect is not None,
        "onnx": cell.onnx is not None and cell.onnx.state != State.OK,
    }
    return [name for name, applies in marks.items() if applies]


def list_versions(cells: Sequence[CellReport]) -> list[BackendVersions]:
    """Return the versions of each backend."""
    versions: dict[str, dict[str, None]] = {}
    for cell in cells:
        if cell.versions:
            text = ", ".join(f"{name} {version}" for name, version in sorted(cell.versions.items()))
            versions.setdefault(cell.backend, {})[text] = None
    return [BackendVersions(backend, " or ".join(texts), len(texts) > 1) for backend, texts in versions.items()]


def list_notices(report: Report) -> list[str]:
    """Return the notices above the table: why there is no ranking, and doubts about the machine or the records."""
    cells = report.cells
    notices = [] if cells else ["There is no record yet: the run was stopped before its first job ended."]
    if any(cell.parity is None and cell.state == State.OK for cell in cells):
        notices.append("Some cells were not verified (--no-parity), so they are not ranked.")
    if any(cell.deviation for cell in cells):
        notices.append("Some measured jobs differ from what was verified, so their cells are not ranked; see below.")
    withheld = dict.fromkeys(cell.withheld for cell in cells if cell.withheld)
    notices += [f"Nothing is ranked, because the processes had unequal resources: {reason}" for reason in withheld]
    mixed = [versions.backend for versions in list_versions(cells) if versions.mixed]
    notices += [f"Cells of {backend} were measured with different versions." for backend in mixed]
    if report.selftest and has_failed(report.selftest):
        notices.append(f"Self-test of this machine: {report.selftest}")
    more = len(report.warnings) - MOST_WARNINGS
    rest = [f"and {more} more, in report.json below"] if more > 0 else []
    return [*notices, *report.warnings[:MOST_WARNINGS], *rest]
