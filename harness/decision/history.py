"""`crossframe history`: the metrics of the runs of a folder over time, by host, with all changes of settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from crossframe.harness.analysis.frameworks import resolve_titles
from crossframe.harness.analysis.labels import ABSENT, COLUMNS, cell_labels, format_metric
from crossframe.harness.analysis.metrics import build_cell_reports
from crossframe.harness.analysis.model import Metric
from crossframe.harness.console import TableLayout, terminal_table
from crossframe.harness.decision.compare import compare_settings, flatten_settings, identify_host
from crossframe.harness.decision.comparison import NOT_VERIFIED, SettingChange
from crossframe.harness.records import store
from crossframe.harness.records.model import SCHEMA_VERSION, Cell, GpuInfo, Record, RunInfo
from crossframe.harness.worker.states import State

NEXT_STEP = "which of these differences are beyond the noise: crossframe compare RUN_A RUN_B"
FOLLOWED = ("train_samples_per_s", "infer_latency_s", "host_peak_bytes")


@dataclass(frozen=True)
class HistoryCell:
    """One cell of a run with the metrics that are followed."""

    cell: Cell
    state: State
    parity: State | None  # None if it was not checked
    metrics: dict[str, Metric]


@dataclass(frozen=True)
class HistoryRun:
    """One run."""

    name: str
    created: str  # UTC, ISO 8601
    preset: str
    settings: list[SettingChange]  # the changes since the previous run on the same host
    cells: list[HistoryCell]


@dataclass(frozen=True)
class HostIdentity:
    """The properties that identify a machine."""

    cpu: str | None
    processors: int | None
    memory_bytes: int | None
    gpus: list[GpuInfo]


@dataclass(frozen=True)
class HostHistory:
    """The runs of one host, the oldest first."""

    host: HostIdentity
    runs: list[HistoryRun]


@dataclass(frozen=True)
class History:
    """The output of `crossframe history FOLDER --format json`."""

    schema: Literal[2]
    hosts: list[HostHistory]
    titles: dict[str, str]  # backend -> framework
    warnings: list[str]


def build_history(folder: Path) -> History:
    """Return the history of the runs in a folder. NoRunError if there is none."""
    runs: list[tuple[RunInfo, list[Record]]] = []
    warnings: list[str] = []
    for path in sorted(folder.glob("*/run.json")):
        try:
            info, (records, damaged) = store.read_run(path.parent), store.read(path.parent)
        except store.NoRunError as error:
            warnings.append(str(error))
            continue
        warnings += damaged
        runs.append((info, records))
    if not runs:
        raise store.NoRunError(f"{folder} holds no run; `crossframe run` makes one under results/")
    hosts: dict[str, HostHistory] = {}
    settings_before: dict[str, dict[str, str]] = {}
    for info, records in sorted(runs, key=lambda run: run[0].created):
        key = json.dumps(identify_host(info.host), sort_keys=True)
        settings = flatten_settings(info, records)
        changes = compare_settings(settings_before.get(key, settings), settings)
        settings_before[key] = settings
        host = info.host
        identity = HostIdentity(host.cpu, host.processors, host.memory_bytes, host.gpus)
        hosts.setdefault(key, HostHistory(identity, [])).runs.append(
            HistoryRun(info.name, info.created, info.options.preset, changes, _summarize_cells(records))
        )
    backends = {name: backend for info, _ in runs for name, backend in info.backends.items()}
    titles = resolve_titles(backends, sorted({record.cell.backend for _, records in runs for record in records}))
    return History(SCHEMA_VERSION, list(hosts.values()), titles, warnings)


def _summarize_cells(records: list[Record]) -> list[HistoryCell]:
    return [
        HistoryCell(
            cell=report.cell,
            state=report.state,
            parity=report.parity.state if report.parity else None,
            metrics={name: report.metrics[name] for name in FOLLOWED},
        )
        for report in build_cell_reports(records, {})
    ]


def as_text(history: History) -> str:
    """Return a table per host, with a block per cell and a row per run; `*` marks runs with changed settings."""
    runs = sum(len(host.runs) for host in history.hosts)
    title = f"{runs} run{'s' * (runs != 1)} on {len(history.hosts)} host{'s' * (len(history.hosts) != 1)}\n"
    return title + "".join(f"\n{_format_host(host, history.titles)}" for host in history.hosts) + f"\n{NEXT_STEP}\n"


def _format_host(history: HostHistory, titles: Mapping[str, str]) -> str:
    """Return the table of one host; its notes list the runs with the changes of their settings."""
    host = history.host
    memory = None if host.memory_bytes is None else f"{host.memory_bytes / 1e9:.0f} GB"
    processors = None if host.processors is None else f"{host.processors} processors"
    parts = [host.cpu or "unknown processor", processors, memory, *(gpu.name for gpu in host.gpus)]
    blocks: dict[tuple[Cell, str], list[list[str]]] = {}
    for run in history.runs:
        for cell in run.cells:
            blocks.setdefault((cell.cell, run.preset), []).append(_format_row(run, cell))
    cells = list(dict.fromkeys(cell for cell, _ in blocks))
    labels = dict(zip(cells, map(" ".join, cell_labels([replace(c, backend=titles[c.backend]) for c in cells]))))
    rows: list[list[str]] = []
    for (key, preset), block in blocks.items():
        rows += [[f"{labels[key]}, {preset}"], *block]
    notes = []
    for run in history.runs:
        notes.append(f"{_name_run(run)}: {run.name}, preset {run.preset}")
        notes += [f"  {change.setting}: {change.a} -> {change.b}" for change in run.settings]
    headings = ["run", *(COLUMNS[name][0] for name in FOLLOWED), ""]
    return f"{', '.join(filter(None, parts))}\n" + terminal_table(headings, rows, TableLayout(right=(1, 2, 3)), notes)


def _name_run(run: HistoryRun) -> str:
    return f"{'*' if run.settings else ' '} {run.created[:16].replace('T', ' ')}"


def _format_row(run: HistoryRun, cell: HistoryCell) -> list[str]:
    if cell.state != State.OK:
        return [_name_run(run), *[ABSENT] * len(FOLLOWED), str(cell.state)]
    values = [format_metric(cell.metrics[name], *COLUMNS[name][1:]) for name in FOLLOWED]
    return [_name_run(run), *values, "" if cell.parity == State.OK else NOT_VERIFIED]
