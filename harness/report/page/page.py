"""The report as one HTML page that works without a network: the answer, tables, charts, and the weighing."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from crossframe.backends import Backend, discover
from crossframe.harness.analysis import labels, metrics
from crossframe.harness.analysis.ranking import by_cell, group_by_family
from crossframe.harness.files import write_atomically
from crossframe.harness.records import codec, store
from crossframe.harness.records.model import Record
from crossframe.harness.report import formats, framework_profiles
from crossframe.harness.report.answer import label_families
from crossframe.harness.report.document import read_report
from crossframe.harness.report.model import Report
from crossframe.harness.report.page import (
    answer,
    bottleneck_charts,
    comparison_charts,
    findings,
    packing,
    plotly_panels,
    portability_chart,
    run_facts,
    table,
    training_charts,
    words,
)
from crossframe.harness.report.page.dialect_table import list_dialects
from crossframe.harness.report.page.flags import list_flags, summarize_flags
from crossframe.harness.report.page.geometric_means import read_speeds
from crossframe.harness.report.page.heat_map import build_heat_map
from crossframe.harness.report.page.plotly_panels import Families, Labels, Section
from crossframe.harness.report.page.weighing import DEFAULT_USE_CASE, build_weighing
from crossframe.harness.report.ratios import Ratios
from crossframe.harness.report.titles import map_titles, title_records, title_report
from crossframe.harness.worker.states import State

HERE = Path(__file__).parent
MOST_RECORDS = 2000  # of which the page offers tables
MOST_ROWS = 100  # of the table in the HTML; the page's scripts add the others


def write_page(run: Path) -> Path:
    """Write `report.html` into the folder of a run and return its path."""
    return write_page_of(run, *read_report(run))


def write_page_of(run: Path, report: Report, records: Sequence[Record]) -> Path:
    """Write `report.html` of a report and its records, as `read_report` returns them; return its path."""
    path = run / "report.html"
    write_atomically(path, read_template().render(build_view(run, report, records, discover())))
    return path


def read_template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("report.html")


def build_view(
    run: Path, report: Report, records: Sequence[Record], backends: Mapping[str, Backend]
) -> Mapping[str, object]:
    """Return the values of the template, by name. Files that are too large for the page are written beside it."""
    titled, titled_records = title_report(report), title_records(records, map_titles(report))
    families = group_by_family(titled.cells)
    family_labels = label_families(families)
    ratios = Ratios(titled.comparisons)
    sections = build_sections(titled, titled_records, families, family_labels, ratios)
    facts = {
        profile.title: backends[profile.backend].manifest.facts if profile.backend in backends else {}
        for profile in report.profiles
    }
    weighing = build_weighing(titled.cells, titled_records, facts)
    decision = weighing.use_cases[DEFAULT_USE_CASE].decision
    notices, flags = table.list_notices(titled), list_flags(titled, backends)
    return {
        "report": titled,
        "host": asdict(titled.host),
        "headline": answer.write_headline(report.run, titled.cells, decision, DEFAULT_USE_CASE),
        "heat_map": build_heat_map(families, family_labels, ratios, read_speeds(titled_records)),
        "findings": findings.list_findings(titled, family_labels, ratios, [section.name for section in sections]),
        "facts": run_facts.list_facts(report, backends, len(notices)),
        "notices": notices,
        "versions": table.list_versions(titled.cells),
        "rows": table.build_rows(titled.cells, family_labels, ratios),
        "most_rows": MOST_ROWS,
        "columns": {name: (heading, metrics.METRICS[name].better) for name, (heading, *_) in labels.COLUMNS.items()},
        "hidden_columns": table.HIDDEN_COLUMNS,
        "marks": words.MARKS,
        "words": words.WORDS,
        "tasks": {name: task.about for name, task in titled.tasks.items() if task.about},
        "ratios": ratios,
        "dialects": list_dialects(titled.cells),
        "flags": flags,
        "flag_words": summarize_flags(flags),
        "problems": formats.list_problems(titled.cells),
        "sections": sections,
        "weighing": weighing,
        "profiles": [(profile, framework_profiles.measured_rows(profile)) for profile in titled.profiles],
        "downloads": list_downloads(run, report, records),
        "comparisons": packing.pack_comparisons(titled.comparisons),
        "page_data": describe_page(titled),
        "flatten": flatten,
        "format_fact": framework_profiles.format_fact,
        "split_links": split_links,
        "script_json": packing.script_json,
        "pack": packing.pack,
        "asset": packing.read_asset,
    }


def list_downloads(run: Path, report: Report, records: Sequence[Record]) -> dict[str, packing.Download]:
    """Return the files that the page offers, by name; for a large run, its records in place of tables of them."""
    files = {"report.json": codec.to_json(report)}
    if len(records) <= MOST_RECORDS:
        files |= {"metrics.csv": formats.as_csv(report), "processes.csv": packing.write_processes_csv(records)}
    downloads = {name: packing.provide_download(run, name, content) for name, content in files.items()}
    return downloads | ({} if len(records) <= MOST_RECORDS else {store.RECORDS: packing.Download(None, store.RECORDS)})


def describe_page(report: Report) -> Mapping[str, object]:
    """Return what the scripts of the page need beside the figures: colours, the name of the run, ranked metrics."""
    appearances = plotly_panels.assign_appearances(report.cells)
    return {
        "run": report.run.name,
        "colors": {cell.backend: appearances[cell.cell.variant].color for cell in report.cells},
        "markers": {name: [appearance.color, appearance.symbol] for name, appearance in appearances.items()},
        "frameworks": {cell.cell.variant: cell.backend for cell in report.cells},
        "columns": {name: metrics.METRICS[name].better for name in labels.COLUMNS},
        "metrics": {name: [heading, metrics.METRICS[name].better] for name, heading in words.COMPARED.items()},
    }


def build_sections(
    report: Report,
    records: Sequence[Record],
    families: Families,
    family_labels: Labels,
    ratios: Ratios,
) -> list[Section]:
    """Return the charts for which the run has data."""
    appearances = plotly_panels.assign_appearances(report.cells)
    succeeded = by_cell(record for record in records if record.state == State.OK)
    sections = [
        comparison_charts.ratio_section(families, family_labels, ratios, appearances),
        comparison_charts.memory_section(families, family_labels, appearances),
        training_charts.quality_section(families, family_labels, appearances, succeeded),
        training_charts.start_section(families, family_labels),
        training_charts.scaling_section(report.cells, appearances),
        portability_chart.portability_section(report.portability or []),
        bottleneck_charts.roofline_section(families, family_labels, succeeded),
        bottleneck_charts.operator_section(families, family_labels),
        bottleneck_charts.gpu_section(families, family_labels),
    ]
    return [section for section in sections if section.rows]


def flatten(value: Any) -> str:
    """Return nested plain data as one line of text."""
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, Mapping):
        return ", ".join(
            f"{name.replace('_', ' ')} {flatten(part)}" for name, part in value.items() if part is not None
        )
    if isinstance(value, list):
        return ", ".join(map(flatten, value)) or "none"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def split_links(source: str) -> list[tuple[str, bool]]:
    """Return a source in parts, and whether each is a web address: nothing else becomes a link."""
    parts = re.split(r"(https?://[^\s,;<>\"']+)", source)
    return [(part, index % 2 == 1) for index, part in enumerate(parts) if part]
