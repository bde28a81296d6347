"""Charts of training: quality over time, the time to start, and throughput by batch size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from crossframe.harness.analysis import metrics
from crossframe.harness.analysis.model import CellReport
from crossframe.harness.records.model import Cell, Record
from crossframe.harness.report.page.plotly_panels import (
    SHADES,
    Appearance,
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
    shade_parts,
    trace,
    value_of,
)
from crossframe.harness.report.ratios import format_value
from crossframe.harness.worker.measurements import EvaluationPoint

PARTS = {"import_s": ("import", ""), "prepare_s": ("prepare", "/"), "first_step_s": ("first step", "x")}
LONGEST_CURVE = 60  # points
SPEED = "train_samples_per_s"

Curve = Sequence[EvaluationPoint]


def quality_section(
    families: Families, labels: Labels, appearances: Appearances, records: Mapping[Cell, Sequence[Record]]
) -> Section:
    """Return held-out quality over training time: the median process, and a band over all processes."""
    panels, rows = [], []
    for family, members in families.items():
        traces: list[Trace] = []
        missing: dict[str, str] = {}
        quality = None
        for cell in members:
            complete = [record for record in records.get(cell.cell, []) if record.complete]
            curves = [record.measurements.curve for record in complete if record.measurements.curve]
            metric = metrics.find_quality_metric(cell)
            if not curves or metric is None or metric not in curves[0][0].quality:
                missing[cell.cell.variant] = cell.reason or "no curve of its quality was recorded"
                continue
            quality = metric
            seconds, values = sample_curves(curves, metric)
            traces += quality_traces(cell.cell.variant, seconds, values, appearances[cell.cell.variant])
            name = cell.cell.variant
            rows.append([labels[family], name, metric, format_value(cell.metrics[metric]), f"{seconds[-1]:.3g}"])
        if quality is not None:
            better = "higher" if metrics.METRICS[quality].better == "more" else "lower"
            scale = {"yaxis": {"type": "log"}} if better == "lower" else {}
            drawn = panel(traces, "seconds of training", f"{quality}: {better} is better", 340, **scale)
            panels.append(Panel(labels[family], drawn, missing))
    return Section(
        "quality",
        "Quality",
        "Quality over training time",
        "Held-out quality after the given seconds of training. The line is the median over processes; the band "
        "reaches from the smallest to the largest value.",
        ["workload", "variant", "metric", "at the end", "seconds of training"],
        panels,
        rows,
        appearances,
    )


def sample_curves(curves: Sequence[Curve], metric: str) -> tuple[np.ndarray, np.ndarray]:
    """Return (points,) median seconds and (processes, points) quality, at most `LONGEST_CURVE` points."""
    length = min(map(len, curves))
    indices = sorted(set(np.linspace(0, length - 1, min(length, LONGEST_CURVE)).astype(int)))
    seconds = np.median([[curve[index].train_s for index in indices] for curve in curves], axis=0)
    return seconds, np.array([[curve[index].quality[metric] for index in indices] for curve in curves])


def quality_traces(name: str, seconds: np.ndarray, values: np.ndarray, appearance: Appearance) -> list[Trace]:
    """Return the line of the median and, where processes differ, the band behind it."""
    x = shorten(seconds)
    low, middle, high = (shorten(side) for side in (values.min(axis=0), np.median(values, axis=0), values.max(axis=0)))
    line = trace(
        "scatter",
        x=x,
        y=middle,
        name=name,
        legendgroup=name,
        mode="lines+markers",
        marker={**appearance.marker(6), "maxdisplayed": 8},
        line={"color": appearance.color, "width": 2, "dash": appearance.dash},
    )
    if low == high:
        return [line]
    band = trace(
        "scatter",
        x=x + x[::-1],
        y=high + low[::-1],
        fill="toself",
        mode="none",
        fillcolor=appearance.color,
        opacity=0.25,
        showlegend=False,
        hoverinfo="skip",
        legendgroup=name,
    )
    return [band, line]


def shorten(values: np.ndarray) -> list[float]:
    """Return values with four digits, to keep the page small."""
    return [float(f"{value:.4g}") for value in values]


def start_section(families: Families, labels: Labels) -> Section:
    """Return import, preparation and first step as stacked bars."""
    panels, rows = [], []
    for family, members in families.items():
        cells = [cell for cell in members if all(cell.metrics[part].value is not None for part in PARTS)]
        if not cells:
            continue
        missing = {
            cell.cell.variant: cell.reason or explain_missing(*(cell.metrics[part] for part in PARTS))
            for cell in members
            if cell not in cells
        }
        cells.sort(key=lambda cell: -sum(value_of(cell.metrics[part]) for part in PARTS))
        drawn = panel(start_bars(cells), "← seconds: less is better", "", 110 + 28 * len(cells), barmode="stack")
        panels.append(Panel(labels[family], drawn, missing))
        for cell in cells:
            even = cell.metrics["break_even_steps"]
            text = str(even.reason) if even.value is None else f"{even.value:,.0f}"
            parts = [format_value(cell.metrics[part]) for part in PARTS]
            rows.append([labels[family], cell.cell.variant, *parts, text])
    return Section(
        "start",
        "Start",
        "Time to start",
        "Seconds before the second step: import, preparation, and the first step with its compilation. Break-even: "
        "the number of steps after which the compiled mode has made up for its longer start.",
        ["workload", "variant", "import s", "prepare s", "first step s", "break-even, steps"],
        panels,
        rows,
        shade_parts(label for label, _ in PARTS.values()),
    )


def start_bars(cells: Sequence[CellReport]) -> list[Trace]:
    return [
        trace(
            "bar",
            x=[value_of(cell.metrics[part]) for cell in cells],
            y=[cell.cell.variant for cell in cells],
            orientation="h",
            name=label,
            marker={"color": SHADES[index], "pattern": {"shape": pattern, "size": 5, "fillmode": "overlay"}},
            error_x=error_bars(error_span(cell.metrics[part]) for cell in cells) if part == "first_step_s" else None,
        )
        for index, (part, (label, pattern)) in enumerate(PARTS.items())
    ]


def scaling_section(cells: Sequence[CellReport], appearances: Appearances) -> Section:
    """Return throughput by batch size, for tasks that ran with several batch sizes."""
    groups: dict[str, dict[str, list[CellReport]]] = {}
    for cell in cells:
        if cell.metrics[SPEED].value:
            label = ", ".join((cell.task, cell.device, cell.precision))
            groups.setdefault(label, {}).setdefault(cell.cell.variant, []).append(cell)
    panels, rows = [], []
    for label, variants in groups.items():
        if len({cell.batch_size for members in variants.values() for cell in members}) < 2:
            continue
        traces = []
        for name, members in variants.items():
            members.sort(key=lambda cell: cell.batch_size)
            traces.append(scaling_line(name, members, appearances[name]))
            rows += [[label, name, str(cell.batch_size), format_value(cell.metrics[SPEED])] for cell in members]
        axes = {"xaxis": {"type": "log"}, "yaxis": {"type": "log"}}
        panels.append(Panel(label, panel(traces, "batch size", "samples/s: higher is better", 340, **axes)))
    return Section(
        "scaling",
        "Batch size",
        "Throughput by batch size",
        "Samples per second by batch size; higher is better.",
        ["workload", "variant", "batch size", "samples/s"],
        panels,
        rows,
        appearances,
    )


def scaling_line(name: str, members: Sequence[CellReport], appearance: Appearance) -> Trace:
    return trace(
        "scatter",
        x=[cell.batch_size for cell in members],
        y=[value_of(cell.metrics[SPEED]) for cell in members],
        name=name,
        mode="lines+markers",
        marker=appearance.marker(9),
        line={"color": appearance.color, "dash": appearance.dash},
        error_y=error_bars(error_span(cell.metrics[SPEED]) for cell in members),
    )
