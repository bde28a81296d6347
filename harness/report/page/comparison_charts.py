"""Charts that compare variants: the ratio to the baseline, and time against memory."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from crossframe.harness.analysis.labels import ABSENT
from crossframe.harness.analysis.model import CellReport, Metric
from crossframe.harness.records.model import Family
from crossframe.harness.report.page.plotly_panels import (
    GREY,
    Appearances,
    Families,
    Labels,
    Panel,
    Section,
    Trace,
    error_bars,
    error_span,
    explain_missing,
    panel,
    trace,
    value_of,
)
from crossframe.harness.report.ratios import Ratio, Ratios, format_value

SPEED = "train_samples_per_s"


def ratio_section(families: Families, labels: Labels, ratios: Ratios, appearances: Appearances) -> Section:
    """Return dots of the ratio to the baseline. The page redraws them for another metric or baseline."""
    compared = {family: ratios_to_baseline(family, members, ratios) for family, members in families.items()}
    shown = {family: by_variant for family, by_variant in compared.items() if len(by_variant) > 1}
    axis = shared_axis([ratio for by_variant in shown.values() for ratio in by_variant.values()])
    panels, rows = [], []
    for family, by_variant in shown.items():
        ascending = dict(sorted(by_variant.items(), key=lambda item: item[1].value))
        missing = {
            cell.cell.variant: cell.metrics[SPEED].tier_reason or cell.metrics[SPEED].reason or "not compared"
            for cell in families[family]
            if cell.cell.variant not in by_variant
        }
        panels.append(Panel(labels[family], ratio_panel(family, ascending, ratios, appearances, axis), missing))
        rows += [
            [labels[family], name, "baseline" if name == ratios.baseline else str(ratio), ratio.interval or ABSENT]
            for name, ratio in ascending.items()
        ]
        rows += [[labels[family], name, ABSENT, reason] for name, reason in missing.items()]
    return Section(
        "ratio",
        "Speed",
        "Speed relative to the baseline",
        "Each dot is a median over processes with its 95 % interval, on a logarithmic axis that all panels share. If "
        "an interval contains 1, the difference is not beyond the noise.",
        ["workload", "variant", "samples/s, ratio to the baseline", "95 % interval"],
        panels,
        rows,
        appearances,
    )


def ratios_to_baseline(family: Family, members: Sequence[CellReport], ratios: Ratios) -> dict[str, Ratio]:
    """Return the ratios of a family, the baseline's 1 included; {} if the baseline is not in it."""
    variants = [cell.cell.variant for cell in members]
    if ratios.baseline not in variants:
        return {}
    compared = {name: ratio for name in variants if (ratio := ratios.to_baseline(family, SPEED, name))}
    return {**compared, ratios.baseline: Ratio(1.0)}


def shared_axis(ratios: Sequence[Ratio]) -> list[float]:
    """Return the range of a logarithmic axis that shows all intervals: (low, high) in powers of ten."""
    ends = [end for ratio in ratios for end in (ratio.low, ratio.value, ratio.high) if end]
    low, high = math.log10(min(ends, default=1.0)), math.log10(max(ends, default=1.0))
    margin = max(0.02, 0.05 * (high - low))
    return [round(low - margin, 4), round(high + margin, 4)]


def ratio_panel(
    family: Family, by_variant: Mapping[str, Ratio], ratios: Ratios, appearances: Appearances, axis: Sequence[float]
) -> str:
    spans = [
        (ratio.high - ratio.value, ratio.value - ratio.low)
        if ratio.low is not None and ratio.high is not None
        else (0.0, 0.0)
        for ratio in by_variant.values()
    ]
    dots = trace(
        "scatter",
        x=[ratio.value for ratio in by_variant.values()],
        y=list(by_variant),
        mode="markers",
        marker={
            "size": 10,
            "color": [appearances[name].color for name in by_variant],
            "symbol": [appearances[name].symbol for name in by_variant],
        },
        error_x=error_bars(spans),
    )
    line = {"type": "line", "x0": 1, "x1": 1, "y0": 0, "y1": 1, "yref": "paper", "line": {"dash": "dot", "width": 1}}
    return panel(
        [dots],
        f"ratio to {ratios.baseline}, right is better →",
        "",
        100 + 28 * len(by_variant),
        xaxis={"type": "log", "range": list(axis)},
        shapes=[line],
        meta={"family": [family.task, family.device, family.precision, family.batch_size]},
    )


def memory_section(families: Families, labels: Labels, appearances: Appearances) -> Section:
    """Return the time of a step against peak memory, with the Pareto front as a line."""
    panels, rows = [], []
    for family, members in families.items():
        memory = "device_peak_bytes" if family.device.startswith("cuda") else "host_peak_bytes"
        pairs = {cell.cell.variant: (cell.metrics["step_s"], cell.metrics[memory]) for cell in members}
        points = {name: pair for name, pair in pairs.items() if all(metric.value for metric in pair)}
        if not points:
            continue
        missing = {name: explain_missing(*pair) for name, pair in pairs.items() if name not in points}
        front = pareto_front(points)
        traces = [front_line(front, points), *(memory_dot(name, *points[name], appearances) for name in points)]
        axes = {"xaxis": {"type": "log"}, "yaxis": {"rangemode": "tozero"}}
        drawn = panel(traces, "← step, ms: left is better", "peak MB: lower is better", 360, **axes)
        panels.append(Panel(labels[family], drawn, missing))
        rows += [
            [labels[family], name, format_value(step, 1e-3), format_value(peak, 1e6), "yes" if name in front else "no"]
            for name, (step, peak) in points.items()
        ]
    return Section(
        "trade",
        "Memory",
        "Time against memory",
        "Lower and further left is better. Memory is that of the device on a GPU, otherwise of the job's processes. "
        "The line is the Pareto front of the medians: no other variant is better in both. If intervals overlap, a "
        "neighbour may be on the front instead.",
        ["workload", "variant", "step ms", "peak MB", "on the Pareto front"],
        panels,
        rows,
        appearances,
    )


def pareto_front(points: Mapping[str, tuple[Metric, Metric]]) -> list[str]:
    """Return the variants that no other variant surpasses in both metrics, by ascending time."""
    front, least = [], math.inf
    for name in sorted(points, key=lambda name: (value_of(points[name][0]), value_of(points[name][1]))):
        peak = value_of(points[name][1])
        if peak < least:
            front.append(name)
            least = peak
    return front


def front_line(front: Sequence[str], points: Mapping[str, tuple[Metric, Metric]]) -> Trace:
    return trace(
        "scatter",
        x=[value_of(points[name][0]) * 1e3 for name in front],
        y=[value_of(points[name][1]) / 1e6 for name in front],
        mode="lines",
        line={"dash": "dot", "shape": "hv", "width": 1, "color": GREY},
        showlegend=False,
        hoverinfo="skip",
    )


def memory_dot(name: str, step: Metric, peak: Metric, appearances: Appearances) -> Trace:
    return trace(
        "scatter",
        x=[value_of(step) * 1e3],
        y=[value_of(peak) / 1e6],
        name=name,
        mode="markers",
        marker=appearances[name].marker(11),
        error_x=error_bars([error_span(step, 1e-3)]),
        error_y=error_bars([error_span(peak, 1e6)]),
    )
