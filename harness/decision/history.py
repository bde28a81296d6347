"""`crossframe history`: the metrics of the runs of a folder over time, by host, with all changes of settings."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from crossframe.harness.analysis.frameworks import resolve_titles
from crossframe.harness.analysis.labels import COLUMNS, format_metric
from crossframe.harness.analysis.metrics import build_cell_reports
from crossframe.harness.analysis.model import Metric
from crossframe.harness.decision.compare import compare_settings, flatten_settings, identify_host
from crossframe.harness.decision.comparison import NOT_VERIFIED, SettingChange
from crossframe.harness.records import store
from crossframe.harness.records.model import SCHEMA_VERSION, Cell, GpuInfo, Record, RunInfo
from crossframe.harness.worker.states import State

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
    """Return a block per host and cell, with a line per run; `*` marks runs with changed settings."""
    return "\n".join(line for host in history.hosts for line in _list_host_lines(host, history.titles)) + "\n"


def _list_host_lines(history: HostHistory, titles: Mapping[str, str]) -> Iterator[str]:
    properties = vars(history.host).items()
    yield "host: " + ", ".join(f"{name} {value}" for name, value in properties if value)
    for run in history.runs:
        yield f"  {run.created}  {run.name}  preset {run.preset}"
        yield from (f"    * {change.setting}: {change.a} -> {change.b}" for change in run.settings)
    keys = dict.fromkeys((cell.cell, run.preset) for run in history.runs for cell in run.cells)
    for key, preset in keys:
        yield f"  {key.task} {titles[key.backend]} {key.mode} {key.device} {key.precision} {key.batch_size}, {preset}"
        for run in history.runs:
            for cell in run.cells:
                if (cell.cell, run.preset) == (key, preset):
                    yield f"  {'*' if run.settings else ' '} {run.created}  {_format_cell(cell)}"


def _format_cell(cell: HistoryCell) -> str:
    if cell.state != State.OK:
        return str(cell.state)
    parts = [f"{COLUMNS[name][0]} {format_metric(cell.metrics[name], *COLUMNS[name][1:])}" for name in FOLLOWED]
    return ", ".join(parts) + ("" if cell.parity == State.OK else f", {NOT_VERIFIED}")
