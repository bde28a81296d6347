"""`crossframe compare`: metrics that changed beyond the noise from one run to another, and settings that changed.

The repeats of two runs share no round, so nothing is paired. The tests of one metric are one family (Holm).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from crossframe.harness.analysis.frameworks import resolve_titles
from crossframe.harness.analysis.metrics import METRICS, build_cell_reports
from crossframe.harness.analysis.model import CellReport
from crossframe.harness.analysis.ranking import RANKED, by_cell, is_verified
from crossframe.harness.analysis.statistics import LEVEL, difference, holm, joint_p, p_unpaired
from crossframe.harness.decision.comparison import (
    NOT_ENOUGH_EVIDENCE,
    NOT_VERIFIED,
    SAME,
    ExcludedCell,
    MetricChange,
    RegressionKind,
    RunComparison,
    RunName,
    SettingChange,
    StateChange,
)
from crossframe.harness.decision.regressions import find_regressions
from crossframe.harness.errors import UsageError
from crossframe.harness.records import store
from crossframe.harness.records.codec import to_plain
from crossframe.harness.records.model import SCHEMA_VERSION, Cell, Host, Record, RunInfo
from crossframe.harness.worker.states import State

CellPair = tuple[Cell, Sequence[Record], Sequence[Record]]  # with its records in both runs

MACHINE = ("cpu", "processors", "memory_bytes", "gpus")  # the identity of a host; its other properties may be updated
# Metric -> the words for less and for more of it.
WORDS = {
    "step_s": ("faster", "slower"),
    "train_samples_per_s": ("slower", "faster"),
    "infer_latency_s": ("faster", "slower"),
    "infer_samples_per_s": ("slower", "faster"),
    "host_peak_bytes": ("smaller", "larger"),
    "time_to_target_s": ("faster", "slower"),
    "first_step_s": ("faster", "slower"),
    "onnx_bytes": ("smaller", "larger"),
    "accuracy": ("less accurate", "more accurate"),
    "mse": ("more accurate", "less accurate"),
}


@dataclass(frozen=True)
class _Side:
    """One of the two runs, by cell."""

    info: RunInfo
    records: dict[Cell, list[Record]]
    reports: dict[Cell, CellReport]


def build_run_comparison(run_a: Path, run_b: Path, across_hosts: bool) -> RunComparison:
    """Return the comparison of two runs. UsageError if their hosts differ, unless `across_hosts` is set."""
    info_a, info_b = store.read_run(run_a), store.read_run(run_b)
    if not across_hosts:
        check_hosts(info_a.host, info_b.host)
    (records_a, warnings_a), (records_b, warnings_b) = store.read(run_a), store.read(run_b)
    a, b = _group(info_a, records_a), _group(info_b, records_b)
    excluded, states, cells = [], [], []
    for cell in sorted(a.reports.keys() | b.reports.keys()):
        before, after = a.reports.get(cell), b.reports.get(cell)
        if before is None or after is None:
            excluded.append(ExcludedCell(cell, f"only in {(b if before is None else a).info.name}"))
            continue
        reason = explain_incomparable(before, after)
        if _describe_state(before) != _describe_state(after):
            states.append(StateChange(cell, _describe_state(before), _describe_state(after), reason))
        if reason:
            excluded.append(ExcludedCell(cell, reason))
        else:
            cells.append(cell)
    pairs = [(cell, a.records[cell], b.records[cell]) for cell in cells]
    listed = {state.cell for state in states if state.a == State.OK}
    return RunComparison(
        schema=SCHEMA_VERSION,
        a=RunName(info_a.name, info_a.created),
        b=RunName(info_b.name, info_b.created),
        settings=compare_settings(flatten_settings(info_a, records_a), flatten_settings(info_b, records_b)),
        states=states,
        regressions=[
            regression
            for regression in find_regressions(a.records, b.records, info_b.specs)
            if regression.cell not in listed or regression.kind not in (RegressionKind.STATE, RegressionKind.PARITY)
        ],
        metrics=compare_metrics(pairs),
        excluded=excluded,
        titles=resolve_titles(
            info_a.backends | info_b.backends, {cell.backend: None for cell in a.reports | b.reports}
        ),
        warnings=warnings_a + warnings_b,
    )


def _resolve_titles(a: _Side, b: _Side) -> dict[str, str]:
    names = {cell.backend for cell in a.reports | b.reports}
    return resolve_titles(a.info.backends | b.info.backends, sorted(names))


def _group(info: RunInfo, records: Sequence[Record]) -> _Side:
    return _Side(info, by_cell(records), {report.cell: report for report in build_cell_reports(records, {})})


def identify_host(host: Host) -> dict[str, object]:
    """Return the properties that identify a host, as plain JSON."""
    plain = to_plain(host)
    return {name: plain[name] for name in MACHINE}


def check_hosts(before: Host, after: Host) -> None:
    """Raise UsageError if two runs are of different machines."""
    a, b = identify_host(before), identify_host(after)
    differences = [f"{name}: {a[name]} and {b[name]}" for name in MACHINE if a[name] != b[name]]
    if differences:
        raise UsageError(
            f"the runs are of different hosts ({', '.join(differences)}); add --across-hosts to compare them"
        )


def flatten_settings(info: RunInfo, records: Iterable[Record]) -> dict[str, str]:
    """Return the settings that may influence the metrics of a run, as {dotted name: JSON}.

    They are the version of Crossframe, the host, the options and the versions of packages.
    """
    versions: dict[str, set[str]] = {}
    for record in records:
        for name, version in record.measurements.versions.items():
            versions.setdefault(f"{record.cell.backend} {name}", set()).add(version)
    return _flatten(
        {
            "crossframe": info.crossframe,
            "commit": info.commit,
            "host": to_plain(info.host),
            "options": to_plain(info.options),
            "versions": {name: ", ".join(sorted(values)) for name, values in versions.items()},
        }
    )


def _flatten(value: object, name: str = "") -> dict[str, str]:
    if isinstance(value, Mapping) and value:
        parts = ((f"{name}.{key}" if name else key, part) for key, part in value.items())
        return {key: text for part_name, part in parts for key, text in _flatten(part, part_name).items()}
    return {name: json.dumps(value)}


def compare_settings(before: Mapping[str, str], after: Mapping[str, str]) -> list[SettingChange]:
    """Return the settings that differ."""
    names = sorted(before.keys() | after.keys())
    return [
        SettingChange(name, before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)
    ]


def _describe_state(report: CellReport) -> str:
    """Return the state of a cell; `ok` implies that it was verified too."""
    return str(report.state) if report.state != State.OK or is_verified(report) else NOT_VERIFIED


def explain_incomparable(before: CellReport, after: CellReport) -> str | None:
    """Return why two cells are not compared; None if they are."""
    for report in (before, after):
        if report.state != State.OK:
            return f"it is {report.state}: {report.reason}"
        if not is_verified(report):
            return NOT_VERIFIED
        if report.withheld:
            return f"resources were not equal: {report.withheld}"
    return None


def compare_metrics(pairs: Sequence[CellPair]) -> list[MetricChange]:
    """Return all metrics of all cells that both runs have.

    A gate looks at all of them, so it needs p values for all of them together. The tests whose values come from the
    same repeats are adjusted together (`joint_p`), and several such groups by Bonferroni.
    """
    records = {cell: (a, b) for cell, a, b in pairs}
    changes = [change for metric in RANKED for change in compare_metric(metric, pairs)]
    groups: dict[tuple[tuple[int, ...], ...], list[tuple[int, list[np.ndarray]]]] = {}
    for index, change in enumerate(changes):
        sign = 1 if METRICS[change.metric].better == "less" else -1
        sides = [_read_rounds(side, change.metric) for side in records[change.cell]]
        logarithms = [sign * np.log(list(side.values())) for side in sides]
        groups.setdefault(tuple(tuple(side) for side in sides), []).append((index, logarithms))
    for members in groups.values():
        a, b = (np.stack([logarithms[side] for _, logarithms in members], axis=1) for side in (0, 1))
        for (index, _), p in zip(members, joint_p(b, a)):
            changes[index] = replace(changes[index], p_worse=min(1.0, len(groups) * float(p)))
    return changes


def _read_rounds(records: Sequence[Record], metric: str) -> dict[int, float]:
    """Return repeat -> value above 0, by repeat."""
    ordered = sorted(METRICS[metric].select(records), key=lambda record: record.repeat)
    values = {record.repeat: METRICS[metric].read(record) for record in ordered}
    return {repeat: value for repeat, value in values.items() if value is not None and value > 0}


def compare_metric(metric: str, pairs: Iterable[CellPair]) -> list[MetricChange]:
    """Return one metric of all cells that both runs have."""
    read = [(cell, _read_logarithms(a, metric), _read_logarithms(b, metric)) for cell, a, b in pairs]
    present = [(cell, a, b) for cell, a, b in read if len(a) and len(b)]
    adjusted = holm([p_unpaired(b, a) for _, a, b in present])
    return [_compare_cell(cell, metric, (a, b), p, len(present)) for (cell, a, b), p in zip(present, adjusted)]


def _read_logarithms(records: Sequence[Record], metric: str) -> np.ndarray:
    return np.log(list(_read_rounds(records, metric).values()))


def _compare_cell(cell: Cell, metric: str, sides: tuple[np.ndarray, np.ndarray], p: float, cells: int) -> MetricChange:
    """Return the change of one metric of one cell from the logarithms of both runs and its adjusted p."""
    a, b = sides
    several = min(len(a), len(b)) > 1
    gap, low, high = difference(b, a) if several else (float(b.mean() - a.mean()), -math.inf, math.inf)
    permutations = math.comb(len(a) + len(b), len(a)) / (
        2 if len(a) == len(b) else 1
    )  # 1 / p if a and b do not overlap
    if cells / permutations > LEVEL:
        change = NOT_ENOUGH_EVIDENCE
    elif p < LEVEL and not low <= 0 <= high and abs(gap) > math.log1p(RANKED[metric]):
        change = WORDS[metric][gap > 0]
    else:
        change = SAME
    return MetricChange(
        cell=cell,
        metric=metric,
        a=float(np.exp(np.median(a))),
        b=float(np.exp(np.median(b))),
        ratio=math.exp(gap),
        low=math.exp(low) if several else None,
        high=math.exp(high) if several else None,
        p=p,
        p_worse=1.0,  # `compare_metrics` adjusts them together
        n_a=len(a),
        n_b=len(b),
        change=change,
        worse=change not in (SAME, NOT_ENOUGH_EVIDENCE) and (gap > 0) == (METRICS[metric].better == "less"),
    )
