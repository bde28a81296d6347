"""What bounds the speed: each cell beside the device's limits, where its steps' time goes, and what its GPU did."""

from __future__ import annotations

from typing import Any

from crossframe.harness.analysis import operators, ranking, scaling
from crossframe.harness.report.page.plotly_panels import COLOURS, Names, Section, error, errors, panel, trace
from crossframe.harness.report.page.ratios import text
from crossframe.harness.worker import profiling

SHOWN = 5  # operators of a cell by name; the rest is one
NAME = 28  # characters of it
PATTERNS = ("", "/", "x", "-", "|", ".")
GPU = {
    "device_peak_bytes": ("allocator's peak MB", 1e6),
    "device_reserved_bytes": ("it reserved MB", 1e6),
    "gpu_context_bytes": ("context MB", 1e6),
    "gpu_memory_peak_bytes": ("NVML's peak MB", 1e6),
    "gpu_unexplained_bytes": ("of neither MB", 1e6),
    "gpu_utilisation": ("in use %", 0.01),
    "gpu_power_w": ("power W", 1),
    "gpu_clock_hz": ("clock MHz", 1e6),
    "energy_j": ("energy J", 1),
    "energy_per_sample_j": ("mJ a sample", 1e-3),
}


def limits(families: dict[ranking.Key, Any], names: Names) -> Section:
    """Achieved operations and bytes a second beside what this device reached at nothing else."""
    made = Section(
        "bounds",
        "How close to the limit",
        "Floating-point operations a second, counted from the task's own layers, as a share of what this device "
        "reached in the same run at a large matrix product. Small networks lie far below it: their time goes "
        "into starting operations. With two scales of a task (--scale) the last column tells which: launch-bound, "
        "where a larger network takes no longer, or compute-bound, where it takes as much longer as it has more to do.",
        ["workload", "candidate", "GFLOP/s", "of the limit %", "GB/s", "of the limit %", "bound by"],
    )
    for key, members in families.items():
        known = [cell for cell in members if cell["metrics"]["flops_per_s"]["value"]]
        shares = [cell for cell in known if cell["metrics"]["ceiling_share"]["value"]]
        shares.sort(key=lambda cell: cell["metrics"]["ceiling_share"]["value"])
        if shares:
            found = [cell["metrics"]["ceiling_share"] for cell in shares]
            bars = trace(
                "bar",
                x=[one["value"] * 100 for one in found],
                y=[ranking.candidate(cell) for cell in shares],
                orientation="h",
                marker={"color": COLOURS[0]},
                error_x=errors([error(one, 0.01) for one in found]),
            )
            axis = {"xaxis": {"rangemode": "tozero"}, "showlegend": False}
            made.panels.append((names[key], panel([bars], "% of the limit →", "", 130 + 28 * len(shares), **axis)))
        for cell in known:
            m = cell["metrics"]
            exponent = m.get("scaling_exponent", {"value": None})["value"]
            figures = [
                text(m[name], divisor)
                for name, divisor in (
                    ("flops_per_s", 1e9),
                    ("ceiling_share", 0.01),
                    ("bytes_per_s", 1e9),
                    ("bandwidth_share", 0.01),
                )
            ]
            bound = "-" if exponent is None else f"{scaling.classify_exponent(exponent)} ({exponent:.2f})"
            made.rows.append([names[key], ranking.candidate(cell), *figures, bound])
    return made


def time_by_operator(families: dict[ranking.Key, Any], names: Names) -> Section:
    """The operators that lead a step, as each framework's own profiler calls them; where a run was asked for them."""
    made = Section(
        "operators",
        "Where a step's time goes",
        "Shares of the operators' own time in a step, by each framework's own profiler, under the names that it gives "
        "them; of threads at the same time the times add up. Profilers disturb: shares tell causes, not speeds.",
        ["workload", "candidate", "operator", "calls a step", "own ms a step", "share %"],
    )
    for key, members in families.items():
        told = {ranking.candidate(cell): operators.operator_rows(cell) for cell in members}
        told = {name: rows for name, rows in told.items() if rows}
        if not told:
            continue
        stacks: dict[str, list[tuple[str, float]]] = {}
        for name, rows in told.items():
            leading = [(row["name"], row["share"]) for row in rows if row["name"] != profiling.OTHERS][:SHOWN]
            rest = (profiling.OTHERS, 1 - sum(share for _, share in leading))
            stacks[name] = [*leading, *[("", 0.0)] * (SHOWN - len(leading)), rest]
            made.rows += [
                [
                    names[key],
                    name,
                    row["name"],
                    f"{row['calls']:g}",
                    f"{row['self_s'] * 1e3:.4f}",
                    f"{row['share']:.1%}",
                ]
                for row in rows
            ]
        bars = stacked(stacks)
        height = 150 + 32 * len(stacks)
        made.panels.append((names[key], panel(bars, "% of the operators' time", "", height, barmode="stack")))
    return made


def stacked(stacks: dict[str, list[tuple[str, float]]]) -> list[dict[str, Any]]:
    """Candidate -> (operator, share) by place, as bars: one trace a place. Names stand in the first, which is plain."""
    return [
        trace(
            "bar",
            x=[stack[place][1] * 100 for stack in stacks.values()],
            y=list(stacks),
            orientation="h",
            name="all others" if place == SHOWN else f"{place + 1}.",
            customdata=[stack[place][0] for stack in stacks.values()],
            text=[stack[0][0][:NAME] for stack in stacks.values()] if place == 0 else None,
            textposition="inside",
            hovertemplate="%{customdata}: %{x:.1f} %<extra></extra>",
            marker={"color": COLOURS[place], "pattern": {"shape": PATTERNS[place], "size": 5, "fillmode": "overlay"}},
        )
        for place in range(SHOWN + 1)
    ]


def gpu(families: dict[ranking.Key, Any], names: Names) -> Section:
    """What the driver told of the card while the jobs ran."""
    made = Section(
        "gpu",
        "What the GPU did",
        "By the driver (NVML), which is asked ten times a second. Power, clock and energy a sample are those of the "
        "epochs that count for the throughput; utilisation, which the driver averages over up to a second, and energy "
        "are those of the training, with its evaluations. Memory is what the job took until it had trained: the "
        "context, what the allocator reserved, and what is neither.",
        ["workload", "candidate", *(heading for heading, _ in GPU.values()), "the two peaks"],
    )
    for key, members in families.items():
        for cell in members:
            if any(cell["metrics"][name]["value"] is not None for name in GPU if name.startswith("gpu_")):
                figures = [text(cell["metrics"][name], divisor) for name, (_, divisor) in GPU.items()]
                made.rows.append([names[key], ranking.candidate(cell), *figures, cell["gpu_memory"] or "-"])
    return made


def sections(told: dict[str, Any], names: Names) -> list[Section]:
    """Every one of these for which the run has something to show."""
    families = ranking.group_by_family(told["cells"])
    made = [limits(families, names), time_by_operator(families, names), gpu(families, names)]
    return [one for one in made if one.rows]
