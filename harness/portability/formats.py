"""The formats of a portability report: a table for a terminal, JSON, CSV, Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from operator import attrgetter

from crossframe.backends import Plugin, discover
from crossframe.harness import runtimes
from crossframe.harness.analysis.labels import ABSENT
from crossframe.harness.console import TableLayout, csv_text, escape_markdown, markdown_table, terminal_table
from crossframe.harness.records.codec import to_json
from crossframe.harness.records.portability import (
    REFERENCE_MODEL,
    FileReport,
    NanBehaviour,
    OpsetRange,
    OpsetSpan,
    PortabilityReport,
    PortabilityState,
    RuntimeResult,
)

STYLES = {PortabilityState.PASS: "green", PortabilityState.DEGRADED: "yellow", PortabilityState.WRONG: "bold red"}
FILE_COLUMNS = ("task", "exporter", "variant")
# Columns of the CSV: attributes of a result, of its distances and of its metrics.
RESULT_COLUMNS = (*FILE_COLUMNS, "opset", "runtime", "state", "stage", "reason")
DISTANCE_COLUMNS = ("max_abs", "relative_error", "max_ulp", "cosine", "framework_error_ratio")
METRIC_COLUMNS = (
    *("load_s", "compile_s", "first_run_s"),
    *("batch_1_p50_s", "batch_1_p95_s", "batch_64_p50_s", "host_peak_bytes"),
)


def describe_state(result: RuntimeResult) -> str:
    """Return the state, with the stage if the outputs are not correct."""
    return str(result.state) if result.state.runs else f"{result.state} ({result.stage})"


def build_grid(report: PortabilityReport) -> tuple[list[str], list[list[str]]]:
    """Return headings and rows: one row for each file, one column for each runtime."""
    names = list(dict.fromkeys(result.runtime for result in report.results))
    states: dict[tuple[str, str, str], dict[str, str]] = {}
    for result in report.results:
        key = (result.task, result.exporter, result.variant)
        states.setdefault(key, {})[result.runtime] = describe_state(result)
    rows = [[*key, *(by_runtime.get(name, ABSENT) for name in names)] for key, by_runtime in states.items()]
    return [*FILE_COLUMNS, *names], rows


def list_notes(report: PortabilityReport) -> list[str]:
    """Return the counts, the findings of every file, the reasons, the opset ranges, and a note on the times."""
    counts = Counter(result.state for result in report.results)
    summary = ", ".join(f"{counts[state]} {state}" for state in PortabilityState if counts[state])
    lines = [f"{len(report.results)} results: {summary}"]
    for file in report.files:
        lines += [f"{file.task} {file.exporter}: {finding}" for finding in list_findings(file)]
    lines += list_reasons(report.results)
    lines += [describe_fault(result) for result in report.results if result.fault]
    lines += list_swallowed_nans(report.results)
    lines += [describe_range(opset_range) for opset_range in report.opset_ranges]
    lines.append(f"times are those of one thread on one processor, {report.concurrency} results at a time")
    on_gpu = list(dict.fromkeys(result.runtime for result in report.results if result.facts.get("device")))
    if on_gpu:
        lines.append(f"times of {', '.join(on_gpu)} are those of {report.device}, including copies to and from it")
    return lines


def group(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return key -> values, from pairs of a key and a value."""
    groups: dict[str, list[str]] = {}
    for key, value in pairs:
        groups.setdefault(key, []).append(value)
    return groups


def list_reasons(results: Iterable[RuntimeResult]) -> list[str]:
    """Return a line for every file and reason, with the runtimes that share it."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for result in results:
        if result.reason:
            file = f"{result.task} {result.exporter} {result.variant}"
            reasons.setdefault((file, f"{result.state}: {result.reason}"), []).append(result.runtime)
    return [f"{file} in {', '.join(runtimes)}: {reason}" for (file, reason), runtimes in reasons.items()]


def list_swallowed_nans(results: Iterable[RuntimeResult]) -> list[str]:
    """Return a line for every runtime that turns NaN inputs into numbers."""
    swallowed = [result for result in results if result.checks.inputs.nan == NanBehaviour.SWALLOWED]
    files = group((result.runtime, f"{result.task} {result.exporter}") for result in swallowed)
    return [f"a NaN sample becomes a number in {name}: {', '.join(labels)}" for name, labels in files.items()]


def list_findings(file: FileReport) -> list[str]:
    """Return the remarks on a file that hold for every runtime."""
    findings = []
    if file.reference != REFERENCE_MODEL:
        findings.append(f"compared with {file.reference or 'nothing: no reference runtime runs it'}")
    if file.structure is None:
        return findings
    if file.structure.problem:
        findings.append(f"load: onnx.checker: {file.structure.problem}")
    external = file.structure.external
    for paths, description in ((external.outside, "outside"), (external.missing, "missing")):
        if paths:
            findings.append(f"load: weights {description}: {', '.join(paths)}")
    return findings


def describe_fault(result: RuntimeResult) -> str:
    """Return the node at which the wrong outputs of a result begin, in one line."""
    fault = result.fault
    assert fault is not None
    pair = f"{result.task} {result.exporter} in {result.runtime}"
    return f"{pair}: outputs are wrong from node {fault.node} on: {fault.reason}; reproducer: {fault.reproducer}"


def describe_range(opset_range: OpsetRange) -> str:
    """Return the opsets of an exporter in one line."""
    spans = ", ".join(f"{name} {describe_span(span)}" for name, span in opset_range.runtimes.items())
    written = format_ranges(opset_range.written)
    return f"opsets of {opset_range.task} {opset_range.exporter}: writes {written}; {spans}"


def describe_span(span: OpsetSpan) -> str:
    """Return the lowest and the highest opset of a runtime."""
    return "none" if span.lowest is None else f"{span.lowest} to {span.highest}"


def format_ranges(numbers: Sequence[int]) -> str:
    """Return ascending numbers with runs shortened: [7, 8, 9, 12] -> `7-9, 12`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs) or "none"


def title_report(report: PortabilityReport) -> PortabilityReport:
    """Return the report with the titles of frameworks and runtimes; files for programs keep their names."""
    plugins: dict[str, Plugin] = {**discover(), **runtimes.discover()}

    def title(name: str) -> str:
        return plugins[name].manifest.title if name in plugins else name

    return replace(
        report,
        results=[replace(each, exporter=title(each.exporter), runtime=title(each.runtime)) for each in report.results],
        files=[
            replace(file, exporter=title(file.exporter), reference=file.reference and title(file.reference))
            for file in report.files
        ],
        opset_ranges=[
            replace(
                each,
                exporter=title(each.exporter),
                runtimes={title(name): span for name, span in each.runtimes.items()},
            )
            for each in report.opset_ranges
        ],
    )


def as_table(report: PortabilityReport) -> str:
    """Return the report as a table for a terminal, by task; variants have a column if there are several."""
    report = title_report(report)
    headings, grid = build_grid(report)
    several = len({result.variant for result in report.results}) > 1
    columns = [index for index in range(1, len(headings)) if several or headings[index] != "variant"]
    rows: list[list[str]] = []
    task = None
    for row in grid:
        if row[0] != task:
            rows.append([row[0]])
        task = row[0]
        rows.append([row[index] for index in columns])
    styles = {describe_state(result): STYLES.get(result.state, "red") for result in report.results}
    layout = TableLayout(wrap=range(len(columns)), styles=styles)
    # A name of a runtime may be broken after its underscores.
    return terminal_table([headings[index].replace("_", "_ ") for index in columns], rows, layout, list_notes(report))


def as_json(report: PortabilityReport) -> str:
    """Return the report as JSON, as in `portability.json`."""
    return to_json(report, indent=1) + "\n"


def as_csv(report: PortabilityReport) -> str:
    """Return one line for each result."""
    rows: list[list[object]] = [[*RESULT_COLUMNS, *DISTANCE_COLUMNS, *METRIC_COLUMNS]]
    read_result, read_distances, read_metrics = (
        attrgetter(*names) for names in (RESULT_COLUMNS, DISTANCE_COLUMNS, METRIC_COLUMNS)
    )
    for result in report.results:
        distances = result.checks.distances
        values = read_distances(distances) if distances else [None] * len(DISTANCE_COLUMNS)
        rows.append([*read_result(result), *values, *read_metrics(result.metrics)])
    return csv_text(rows)


def as_markdown(report: PortabilityReport) -> str:
    """Return the report as Markdown."""
    report = title_report(report)
    lines = [f"## ONNX portability of {report.name}", "", *markdown_table(*build_grid(report)), ""]
    return "\n".join([*lines, *(f"- {escape_markdown(note)}" for note in list_notes(report)), ""])


FORMATS: dict[str, Callable[[PortabilityReport], str]] = {
    "table": as_table,
    "json": as_json,
    "csv": as_csv,
    "md": as_markdown,
}
