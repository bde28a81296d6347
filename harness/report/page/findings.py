"""The key findings of a run, numbered on the page; each is linked to its evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from crossframe.harness.analysis import metrics
from crossframe.harness.analysis.model import CellReport
from crossframe.harness.analysis.ranking import group_by_family
from crossframe.harness.records.model import Family
from crossframe.harness.records.portability import PortabilityState
from crossframe.harness.report.answer import (
    SPEED,
    describe_fastest,
    describe_success,
    describe_ties,
    join_names,
    list_leaders,
    shorten_list,
)
from crossframe.harness.report.model import Report
from crossframe.harness.report.ratios import Ratio, Ratios
from crossframe.harness.worker.states import State

MOST_NAMED = 4  # workloads that a finding names
# Metric -> (the property in a sentence, the section with the evidence).
FURTHER_METRICS = {
    "host_peak_bytes": ("least memory", "trade"),
    "first_step_s": ("shortest first step", "start"),
    "infer_latency_s": ("fastest inference of one sample", "results"),
    "time_to_target_s": ("shortest time to the target", "quality"),
}


@dataclass(frozen=True)
class Finding:
    """A sentence, and the id of the section with its evidence."""

    text: str
    evidence: str


def list_findings(
    report: Report, labels: Mapping[Family, str], ratios: Ratios, sections: Sequence[str]
) -> list[Finding]:
    """Return the findings; those whose section the page does not have refer to the table of results."""
    cells = report.cells
    if not cells:
        return []
    families = group_by_family(cells)
    texts = [(text, "ratio") for text in describe_speed(report, families, labels, ratios)]
    has_failures = any(cell.state != State.OK for cell in cells)
    texts.append((describe_success(cells), "problems" if has_failures else "results"))
    for name, (about, section) in FURTHER_METRICS.items():
        text = describe_leaders(families, labels, ratios, name)
        texts += [(f"{about[0].upper()}{about[1:]}: {text}.", section)] if text else []
    exports = describe_portability(report)
    texts += [(exports, "onnx")] if exports else []
    always = {"problems", "results"}
    return [Finding(text, section if section in (always | {*sections}) else "results") for text, section in texts]


def describe_speed(
    report: Report, families: Mapping[Family, Sequence[CellReport]], labels: Mapping[Family, str], ratios: Ratios
) -> list[str]:
    """Return what trains fastest where, and what ties; in numbers of workloads if there are many."""
    fastest = describe_fastest(report.cells, report.comparisons, labels)
    leaders = describe_leaders(families, labels, ratios, SPEED)
    if len(families) <= MOST_NAMED or leaders is None:
        return [text for text in (fastest, describe_ties(report.cells, labels)) if text]
    ties = sum(len(names) > 1 for names in list_leaders(report.cells).values())
    return [f"Fastest training: {leaders}.", f"The first place is shared on {ties} of {len(families)} workloads."]


def describe_leaders(
    families: Mapping[Family, Sequence[CellReport]], labels: Mapping[Family, str], ratios: Ratios, metric: str
) -> str | None:
    """Return which variant is alone in the first tier of a metric on which workloads, and by how much."""
    leads: dict[str, dict[str, Ratio | None]] = {}
    for family, members in families.items():
        tiers = {cell.cell.variant: cell.metrics[metric].tier for cell in members}
        first = [variant for variant, tier in tiers.items() if tier == 1]
        rivals = [variant for variant, tier in tiers.items() if tier is not None and tier > 1]
        if len(first) == 1 and rivals:
            leads.setdefault(first[0], {})[labels[family]] = find_advantage(ratios, family, metric, first[0], rivals)
    if not leads:
        return None
    count = len(families)
    clauses = [
        f"{variant} on {describe_workloads(list(by_family), count)}{describe_range(list(by_family.values()))}"
        for variant, by_family in leads.items()
    ]
    return shorten_list(clauses, "; ")


def find_advantage(ratios: Ratios, family: Family, metric: str, leader: str, rivals: Sequence[str]) -> Ratio | None:
    """Return the smallest advantage of the leader, as a ratio above 1 whichever direction is better."""
    compared = [ratio for rival in rivals if (ratio := ratios.find(family, metric, leader, rival))]
    if metrics.METRICS[metric].better == "less":
        compared = [ratio.invert() for ratio in compared]
    return min(compared, key=lambda ratio: ratio.value, default=None)


def describe_workloads(names: Sequence[str], total: int) -> str:
    """Return `all 4 workloads`, their names, or the number of many."""
    if len(names) == total > 1:
        return f"all {total} workloads"
    return ", ".join(names) if len(names) <= MOST_NAMED else f"{len(names)} of {total} workloads"


def describe_range(advantages: Sequence[Ratio | None]) -> str:
    """Return the smallest and largest advantage over the next as text; empty if there is none."""
    known = sorted((ratio for ratio in advantages if ratio), key=lambda ratio: ratio.value)
    if not known:
        return ""
    if len(known) == 1:
        return f" ({known[0]} better than the next{f', {known[0].interval}' if known[0].interval else ''})"
    least, most = (f"{ratio.value:.{min(2, ratio.decimals)}f}" for ratio in (known[0], known[-1]))
    return f" ({least if least == most else f'{least} to {most}'}x better than the next)"


def describe_portability(report: Report) -> str | None:
    """Return in how many runtimes how many exported files pass; None if that was not checked."""
    ran = [
        result
        for result in report.portability or []
        if result.variant == "as exported" and result.state != PortabilityState.NOT_INSTALLED
    ]
    if not ran:
        return None
    passed = sum(result.state == PortabilityState.PASS for result in ran)
    files = {(result.task, result.exporter) for result in ran}
    runtimes = list(dict.fromkeys(result.runtime for result in ran))
    return f"{len(files)} exported files in {join_names(runtimes)}: {passed} of {len(ran)} results pass."
