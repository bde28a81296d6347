"""Charts of bottlenecks: utilization of the device, time by operator, and activity of the GPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from crossframe.harness.analysis import scaling
from crossframe.harness.analysis.model import CellReport, Metric
from crossframe.harness.analysis.operators import operator_rows
from crossframe.harness.analysis.readers import read_utilization
from crossframe.harness.records.model import Cell, Record
from crossframe.harness.report.page.plotly_panels import (
    SHADES,
    Families,
    Labels,
    Panel,
    Section,
    Trace,
    error_bars,
    error_span,
    panel,
    shade_parts,
    trace,
    value_of,
)
from crossframe.harness.report.ratios import format_value
from crossframe.harness.worker.profiling import OTHERS

BARS = 5  # operators of a cell with a separate bar; all others share one bar
NAME_LENGTH = 28  # characters
READ_SHARE = read_utilization("step_flops", "ceiling_flops_per_s")
PATTERNS = ("", "/", "x", "-", "|", ".")
ROOFLINE_COLUMNS = {
    "flops_per_s": ("GFLOP/s", 1e9),
    "compute_utilization": ("compute utilization %", 0.01),
    "bytes_per_s": ("GB/s", 1e9),
    "bandwidth_utilization": ("bandwidth utilization %", 0.01),
}
GPU_COLUMNS = {
    "device_peak_bytes": ("allocated peak MB", 1e6),
    "device_reserved_bytes": ("reserved peak MB", 1e6),
    "gpu_context_bytes": ("context MB", 1e6),
    "gpu_memory_peak_bytes": ("NVML peak MB", 1e6),
    "gpu_unexplained_bytes": ("unexplained MB", 1e6),
    "gpu_utilisation": ("utilization %", 0.01),
    "gpu_power_w": ("power W", 1.0),
    "gpu_clock_hz": ("clock MHz", 1e6),
    "energy_j": ("energy J", 1.0),
    "energy_per_sample_j": ("mJ per sample", 1e-3),
}


def roofline_section(families: Families, labels: Labels, records: Mapping[Cell, Sequence[Record]]) -> Section:
    """Return achieved operations and bytes per second, and their shares of the ceilings of the device."""
    panels, rows = [], []
    for family, members in families.items():
        shares = {cell.cell.variant: read_share(cell, records.get(cell.cell, [])) for cell in members}
        bars = {name: share for name, share in shares.items() if share.value is not None}
        if bars:
            missing = {name: share.reason or "no value" for name, share in shares.items() if name not in bars}
            hatched = {name: note for name, share in bars.items() if (note := describe_bar(share))}
            panels.append(Panel(labels[family], utilization_panel(bars), missing, hatched))
        rows += [
            [labels[family], cell.cell.variant, *format_roofline(cell)]
            for cell in members
            if cell.metrics["flops_per_s"].value
        ]
    return Section(
        "roofline",
        "Utilization",
        "Utilization of the device",
        "Floating-point operations per second, counted from the layers of the task, as a share of the rate that this "
        "device reached in the same run at a large matrix product. Small networks are far below that rate, since most "
        "of their time is spent on starting operations. If a task was run at two scales (--scale), the last column "
        "gives the bottleneck: launch-bound if a larger network takes no longer, compute-bound if its time grows in "
        "proportion to its work.",
        ["workload", "variant", *(heading for heading, _ in ROOFLINE_COLUMNS.values()), "bound by"],
        panels,
        rows,
    )


def read_share(cell: CellReport, records: Sequence[Record]) -> Metric:
    """Return the share of the ceiling; above the ceiling, where the metric has no value, that with the reason."""
    metric = cell.metrics["compute_utilization"]
    values = [value for record in records if (value := READ_SHARE(record)) is not None]
    return metric if metric.value is not None or not values else Metric(median(values), reason=metric.reason)


def utilization_panel(shares: Mapping[str, Metric]) -> str:
    """Return bars; those above the ceiling or without an interval are hatched."""
    order = dict(sorted(shares.items(), key=lambda item: value_of(item[1])))
    bars = trace(
        "bar",
        x=[value_of(share) * 100 for share in order.values()],
        y=list(order),
        orientation="h",
        marker={
            "color": SHADES[1],
            "pattern": {"shape": ["/" if describe_bar(share) else "" for share in order.values()], "size": 6},
        },
        error_x=error_bars(error_span(share, 0.01) for share in order.values()),
    )
    return panel([bars], "% of the ceiling →", "", 100 + 28 * len(order), xaxis={"rangemode": "tozero"})


def describe_bar(share: Metric) -> str | None:
    """Return why a bar is no ordinary value; None for others."""
    if share.reason:
        return f"in some of its processes {share.reason}"
    return "one process has no interval" if share.low is None else None


def format_roofline(cell: CellReport) -> list[str]:
    """Return the columns of the roofline table after the variant."""
    values = [format_value(cell.metrics[name], divisor) for name, (_, divisor) in ROOFLINE_COLUMNS.items()]
    exponent = cell.metrics["scaling_exponent"].value
    return [*values, "-" if exponent is None else f"{scaling.classify_exponent(exponent)} ({exponent:.2f})"]


def operator_section(families: Families, labels: Labels) -> Section:
    """Return the operators that take most of the time of a step, by each framework's own profiler."""
    panels, rows = [], []
    for family, members in families.items():
        stacks: dict[str, list[tuple[str, float]]] = {}
        for cell in members:
            operators = operator_rows(cell)
            if not operators:
                continue
            leading = [(row.name, row.share) for row in operators if row.name != OTHERS][:BARS]
            rest = (OTHERS, 1 - sum(share for _, share in leading))
            stacks[cell.cell.variant] = [*leading, *[("", 0.0)] * (BARS - len(leading)), rest]
            rows += [
                [
                    labels[family],
                    cell.cell.variant,
                    row.name,
                    f"{row.calls:g}",
                    f"{row.self_s * 1e3:.4f}",
                    f"{row.share:.1%}",
                ]
                for row in operators
            ]
        if stacks:
            height = 100 + 32 * len(stacks)
            drawn = panel(stacked_bars(stacks), "% of the time of all operators", "", height, barmode="stack")
            panels.append(Panel(labels[family], drawn))
    return Section(
        "operators",
        "Operators",
        "Time of a step by operator",
        "Shares of the operators in the time of a step, by each framework's own profiler and with its names. The "
        "times of concurrent threads add up. A profiler slows down the training: compare shares, not times.",
        ["workload", "variant", "operator", "calls per step", "self ms per step", "share %"],
        panels,
        rows,
        shade_parts([*(f"{rank + 1}." for rank in range(BARS)), "all others"]),
    )


def stacked_bars(stacks: Mapping[str, Sequence[tuple[str, float]]]) -> list[Trace]:
    """Return the bars of variant -> (operator, share) by rank: one trace per rank, the first with names."""
    return [
        trace(
            "bar",
            x=[stack[rank][1] * 100 for stack in stacks.values()],
            y=list(stacks),
            orientation="h",
            name="all others" if rank == BARS else f"{rank + 1}.",
            customdata=[stack[rank][0] for stack in stacks.values()],
            text=[stack[0][0][:NAME_LENGTH] for stack in stacks.values()] if rank == 0 else None,
            textposition="inside",
            hovertemplate="%{customdata}: %{x:.1f} %<extra></extra>",
            marker={"color": SHADES[rank], "pattern": {"shape": PATTERNS[rank], "size": 5, "fillmode": "overlay"}},
        )
        for rank in range(BARS + 1)
    ]


def gpu_section(families: Families, labels: Labels) -> Section:
    """Return the activity of the GPU while the jobs ran, as its driver reported it."""
    names = [name for name in GPU_COLUMNS if name.startswith("gpu_")]
    rows = [
        [
            labels[family],
            cell.cell.variant,
            *(format_value(cell.metrics[name], divisor) for name, (_, divisor) in GPU_COLUMNS.items()),
            cell.gpu_memory or "-",
        ]
        for family, members in families.items()
        for cell in members
        if any(cell.metrics[name].value is not None for name in names)
    ]
    return Section(
        "gpu",
        "GPU",
        "GPU activity",
        "Reported by the driver (NVML) ten times per second. Power, clock and energy per sample are those of the "
        "epochs that count for the throughput. Utilization, which the driver averages over up to a second, and energy "
        "are those of the training with its evaluations. Memory is the memory that the job used until the end of its "
        "training: the context, the reserve of the allocator, and an unexplained remainder.",
        ["workload", "variant", *(heading for heading, _ in GPU_COLUMNS.values()), "comparison of the peaks"],
        [],
        rows,
    )
