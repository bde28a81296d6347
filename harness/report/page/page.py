"""The report as one HTML page that works without a network: the answer, tables, charts, and the weighing."""

from __future__ import annotations

import base64
import csv
import gzip
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from crossframe.backends import discover
from crossframe.harness.analysis import labels, metrics
from crossframe.harness.analysis.ranking import by_cell, group_by_family
from crossframe.harness.decision.model import Facts
from crossframe.harness.files import write_atomically
from crossframe.harness.parity.effects import describe_effect
from crossframe.harness.records import codec, store
from crossframe.harness.records.model import CELL_KEYS, Record
from crossframe.harness.report import formats, framework_profiles
from crossframe.harness.report.answer import label_families
from crossframe.harness.report.document import build_report_from
from crossframe.harness.report.model import Report
from crossframe.harness.report.page import (
    answer,
    bottleneck_charts,
    comparison_charts,
    plotly_panels,
    portability_chart,
    table,
    training_charts,
    words,
)
from crossframe.harness.report.page.plotly_panels import Families, Labels, Section
from crossframe.harness.report.page.ratios import Ratios
from crossframe.harness.report.page.weighing import DEFAULT_USE_CASE, build_weighing
from crossframe.harness.report.titles import title_records, title_report
from crossframe.harness.worker.states import State

HERE = Path(__file__).parent


def write_page(run: Path) -> Path:
    """Write `report.html` into the folder of a run and return its path."""
    records, damaged_lines = store.read(run)
    report = build_report_from(run, records, damaged_lines)
    facts = {name: backend.manifest.facts for name, backend in discover().items()}
    path = run / "report.html"
    write_atomically(path, read_template().render(build_view(report, records, facts)))
    return path


def read_template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("report.html")


def build_view(report: Report, records: Sequence[Record], facts: Mapping[str, Facts]) -> Mapping[str, object]:
    """Return the values of the template, by name."""
    downloads = {
        "report.json": pack(codec.to_json(report)),
        "metrics.csv": pack(formats.as_csv(report)),
        "processes.csv": pack(write_processes_csv(records)),
    }
    titled, titled_records = title_report(report), title_records(records, report)
    facts_by_title = {profile.title: facts.get(profile.backend, {}) for profile in report.profiles}
    families = group_by_family(titled.cells)
    family_labels = label_families(families)
    ratios = Ratios(titled.comparisons)
    weighing = build_weighing(titled.cells, titled_records, facts_by_title)
    decision = weighing.use_cases[DEFAULT_USE_CASE].decision
    return {
        "report": titled,
        "host": asdict(titled.host),
        "sentences": answer.write_sentences(
            titled.cells, titled.comparisons, decision, DEFAULT_USE_CASE, family_labels
        ),
        "notices": table.list_notices(titled),
        "versions": table.list_versions(titled.cells),
        "rows": table.build_rows(titled.cells, family_labels, ratios),
        "columns": {name: (heading, metrics.METRICS[name].better) for name, (heading, *_) in labels.COLUMNS.items()},
        "marks": words.MARKS,
        "words": words.WORDS,
        "tasks": {name: task.about for name, task in titled.tasks.items() if task.about},
        "ratios": ratios,
        "effects": list_effects(titled),
        "problems": formats.list_problems(titled.cells),
        "sections": build_sections(titled, titled_records, families, family_labels, ratios),
        "weighing": weighing,
        "profiles": [(profile, framework_profiles.measured_rows(profile)) for profile in titled.profiles],
        "downloads": downloads,
        "flatten": flatten,
        "format_fact": framework_profiles.format_fact,
        "split_links": split_links,
        "script_json": script_json,
        "asset": read_asset,
    }


def build_sections(
    report: Report, records: Sequence[Record], families: Families, family_labels: Labels, ratios: Ratios
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
        bottleneck_charts.roofline_section(families, family_labels),
        bottleneck_charts.operator_section(families, family_labels),
        bottleneck_charts.gpu_section(families, family_labels),
    ]
    return [section for section in sections if section.rows]


def list_effects(report: Report) -> list[str]:
    """Return the effect of each dialect on each task, one line each."""
    effects = dict.fromkeys(
        describe_effect(cell.backend, cell.task, cell.parity.effect)
        for cell in report.cells
        if cell.parity and cell.parity.effect
    )
    return list(effects)


def write_processes_csv(records: Sequence[Record]) -> str:
    """Return one line per process and one column per metric, with seven digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*CELL_KEYS, "repeat", "state", *metrics.METRICS])
    for record in records:
        keys = [getattr(record.cell, key) for key in CELL_KEYS]
        values = [metric.read(record) if record.state == State.OK else None for metric in metrics.METRICS.values()]
        texts = ["" if value is None else f"{value:.7g}" for value in values]
        writer.writerow([*keys, record.repeat, str(record.state), *texts])
    return text.getvalue()


def pack(content: str) -> str:
    """Return text as a base64 gzip file, for a link of the page."""
    return base64.b64encode(gzip.compress(content.encode(), 9, mtime=0)).decode()


def script_json(value: object) -> Markup:
    """Return JSON in which no string can end the script element that holds it."""
    return Markup(json.dumps(codec.to_plain(value), separators=(",", ":")).replace("<", "\\u003c"))


@cache
def read_asset(name: str) -> Markup:
    """Return a file of this folder for the page; indentation and comments of the page's own files are left out."""
    text = (HERE / name).read_text()
    return Markup(text if ".min." in name else re.sub(r"^ +|^ *//.*\n", "", text, flags=re.MULTILINE))


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
