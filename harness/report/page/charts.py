"""The charts of the page: a panel a workload, and beside each chart the table that says the same."""

from __future__ import annotations

from typing import Any

import numpy as np

from crossframe.harness.analysis import metrics, ranking
from crossframe.harness.report.page.plotly_panels import COLOURS, Names, Section, error, errors, looks, panel, trace
from crossframe.harness.report.page.ratios import Ratios, text

PARTS = {"import_s": ("import", ""), "prepare_s": ("prepare", "/"), "first_step_s": ("first step", "x")}
ONNX = {"not_installed": 0, "timeout": 1, "crash": 2, "refused": 3, "wrong": 4, "degraded": 5, "pass": 6}
LONGEST_CURVE = 60  # points


def ratio_dots(families: dict[ranking.Key, Any], names: Names, ratios: Ratios, styles: Any) -> Section:
    """Dots of the ratio to the baseline; the page draws them again for another figure or baseline."""
    made = Section(
        "ratio",
        "How much faster or slower than the baseline",
        "Each dot is a median over processes with its 95 % interval, on a logarithmic axis. An interval that "
        "crosses 1 is a difference that the noise does not show.",
        ["workload", "candidate", "samples/s, ratio to the baseline"],
    )
    for key, members in families.items():
        found = {
            ranking.candidate(cell): ratios.to_baseline(key, "train_samples_per_s", ranking.candidate(cell))
            for cell in members
        }
        shown = {name: one for name, one in found.items() if one}
        if ratios.baseline not in {ranking.candidate(cell) for cell in members} or not shown:
            continue
        shown[ratios.baseline] = (1.0, None, None)
        order = sorted(shown, key=lambda name: shown[name][0])
        dots = trace(
            "scatter",
            x=[shown[name][0] for name in order],
            y=order,
            mode="markers",
            marker={
                "size": 10,
                "color": [styles[name]["color"] for name in order],
                "symbol": [styles[name]["symbol"] for name in order],
            },
            error_x=errors(
                [
                    (h - v, v - low) if low is not None and h is not None else (0.0, 0.0)
                    for v, low, h in (shown[name] for name in order)
                ]
            ),
        )
        one = {"type": "line", "x0": 1, "x1": 1, "y0": 0, "y1": 1, "yref": "paper", "line": {"dash": "dot", "width": 1}}
        drawn = panel(
            [dots],
            f"ratio to {ratios.baseline}<br>right is better →",
            "",
            140 + 28 * len(order),
            xaxis={"type": "log"},
            shapes=[one],
            meta={"family": list(key)},
            showlegend=False,
        )
        made.panels.append((names[key], drawn))
        made.rows += [
            [names[key], name, ratios.shown(key, "train_samples_per_s", name) or "baseline"] for name in order
        ]
    return made


def trade(families: dict[ranking.Key, Any], names: Names, styles: Any) -> Section:
    """Time of a step against peak memory; nobody on the line is beaten in both."""
    made = Section(
        "trade",
        "Time against memory",
        "Lower and further left is better; memory is the device's on a GPU, else the process's. The line joins the "
        "cells that no other beats in both by their medians; where intervals overlap, it may as well run through the "
        "neighbour.",
        ["workload", "candidate", "step ms", "peak MB", "beaten in both by none"],
    )
    for key, members in families.items():
        memory = "device_peak_bytes" if str(key[1]).startswith("cuda") else "host_peak_bytes"
        known = [c for c in members if c["metrics"]["step_s"]["value"] and c["metrics"][memory]["value"]]
        points = {ranking.candidate(c): (c["metrics"]["step_s"], c["metrics"][memory]) for c in known}
        front, least = [], float("inf")
        for name, (_, peak) in sorted(points.items(), key=lambda one: (one[1][0]["value"], one[1][1]["value"])):
            if peak["value"] < least:
                front.append(name)
                least = peak["value"]
        line = trace(
            "scatter",
            x=[points[name][0]["value"] * 1e3 for name in front],
            y=[points[name][1]["value"] / 1e6 for name in front],
            mode="lines",
            line={"dash": "dot", "shape": "hv", "width": 1, "color": "#8C8C8C"},
            showlegend=False,
            hoverinfo="skip",
        )
        dots = [
            trace(
                "scatter",
                x=[step["value"] * 1e3],
                y=[peak["value"] / 1e6],
                name=name,
                mode="markers",
                marker={"size": 11, **styles[name]},
                error_x=errors([error(step, 1e-3)]),
                error_y=errors([error(peak, 1e6)]),
            )
            for name, (step, peak) in points.items()
        ]
        if points:
            axes = {"xaxis": {"type": "log"}, "yaxis": {"rangemode": "tozero"}}
            drawn = panel([line, *dots], "← step, ms: left is better", "peak MB: lower is better", 360, **axes)
            made.panels.append((names[key], drawn))
        made.rows += [
            [names[key], name, text(step, 1e-3), text(peak, 1e6), "yes" if name in front else "no"]
            for name, (step, peak) in points.items()
        ]
    return made


def curves(families: dict[ranking.Key, Any], names: Names, styles: Any, records: list[dict[str, Any]]) -> Section:
    """Held-out quality over training time: the median process, and a band from the first to the last of them."""
    made = Section(
        "quality",
        "Quality over training time",
        "Held-out quality after so many seconds of training. The line is the median over processes, the band "
        "reaches from the least to the most.",
        ["workload", "candidate", "measure", "at the end", "seconds of training"],
    )
    groups = ranking.by_cell(record for record in records if record["state"] == "ok")
    for key, members in families.items():
        traces: list[Any] = []
        axis = ""
        for cell in members:
            own = [r["measures"]["curve"] for r in groups.get(ranking.key_of(cell), []) if r["measures"].get("curve")]
            quality = metrics.find_quality_metric(cell)
            length = min(map(len, own), default=0)
            if not length or quality is None or quality not in own[0][0]:
                continue
            axis = quality
            places = sorted(set(np.linspace(0, length - 1, min(length, LONGEST_CURVE)).astype(int)))
            seconds = np.median([[curve[place]["train_s"] for place in places] for curve in own], axis=0)
            values = np.array([[curve[place][quality] for place in places] for curve in own])
            name = ranking.candidate(cell)
            x = [float(f"{second:.4g}") for second in seconds]
            low, middle, high = (
                [float(f"{v:.4g}") for v in side]
                for side in (values.min(axis=0), np.median(values, axis=0), values.max(axis=0))
            )
            if len(own) > 1 and low != high:
                traces.append(
                    trace(
                        "scatter",
                        x=x + x[::-1],
                        y=high + low[::-1],
                        fill="toself",
                        mode="none",
                        fillcolor=styles[name]["color"],
                        opacity=0.25,
                        showlegend=False,
                        hoverinfo="skip",
                        legendgroup=name,
                    )
                )
            mark = {"size": 6, **styles[name], "maxdisplayed": 8}
            line = {"color": styles[name]["color"], "width": 2}
            traces.append(
                trace(
                    "scatter", x=x, y=middle, name=name, legendgroup=name, mode="lines+markers", marker=mark, line=line
                )
            )
            made.rows.append([names[key], name, quality, text(cell["metrics"][quality]), f"{seconds[-1]:.3g}"])
        if traces:
            better = "higher" if metrics.METRICS[axis].better == "more" else "lower"
            scale = {"yaxis": {"type": "log"}} if better == "lower" else {}
            drawn = panel(traces, "seconds of training", f"{axis}: {better} is better", 360, **scale)
            made.panels.append((names[key], drawn))
    return made


def start_up(families: dict[ranking.Key, Any], names: Names) -> Section:
    """Import, prepare and first step, stacked."""
    made = Section(
        "start",
        "What it takes to start",
        "Seconds before the second step: import, prepare, and the first step with its compilation. Break-even: "
        "after how many steps compiling has paid for itself, against the same backend uncompiled.",
        ["workload", "candidate", "import s", "prepare s", "first step s", "break-even, steps"],
    )
    for key, members in families.items():
        known = [cell for cell in members if all(cell["metrics"][part]["value"] is not None for part in PARTS)]
        if not known:
            continue
        known.sort(key=lambda cell: -sum(cell["metrics"][part]["value"] for part in PARTS))
        bars = [
            trace(
                "bar",
                x=[cell["metrics"][part]["value"] for cell in known],
                y=[ranking.candidate(cell) for cell in known],
                orientation="h",
                name=label,
                marker={"color": COLOURS[place], "pattern": {"shape": pattern, "size": 5, "fillmode": "overlay"}},
                error_x=errors([error(cell["metrics"][part]) for cell in known]) if part == "first_step_s" else None,
            )
            for place, (part, (label, pattern)) in enumerate(PARTS.items())
        ]
        drawn = panel(bars, "← seconds: less is better", "", 190 + 28 * len(known), barmode="stack")
        made.panels.append((names[key], drawn))
        for cell in known:
            even = cell["metrics"]["break_even_steps"]
            said = even["reason"] if even["value"] is None else f"{even['value']:,.0f}"
            made.rows.append(
                [names[key], ranking.candidate(cell), *(text(cell["metrics"][part]) for part in PARTS), said]
            )
    return made


def scaling(cells: list[dict[str, Any]], styles: Any) -> Section:
    """Throughput by batch size, where a run has several."""
    made = Section(
        "scaling",
        "Scaling with the batch size",
        "Samples a second by batch size; higher is better.",
        ["workload", "candidate", "batch size", "samples/s"],
    )
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for cell in cells:
        if cell["metrics"]["train_samples_per_s"]["value"]:
            groups.setdefault((cell["task"], cell["device"], cell["precision"]), []).append(cell)
    for key, members in groups.items():
        if len({cell["batch_size"] for cell in members}) < 2:
            continue
        traces = []
        for name in dict.fromkeys(map(ranking.candidate, members)):
            own = sorted((c for c in members if ranking.candidate(c) == name), key=lambda cell: cell["batch_size"])
            speeds = [cell["metrics"]["train_samples_per_s"] for cell in own]
            sizes = [cell["batch_size"] for cell in own]
            line = {"color": styles[name]["color"]}
            traces.append(
                trace(
                    "scatter",
                    x=sizes,
                    y=[one["value"] for one in speeds],
                    name=name,
                    mode="lines+markers",
                    marker={"size": 9, **styles[name]},
                    line=line,
                    error_y=errors([error(one) for one in speeds]),
                )
            )
            made.rows += [[", ".join(key), name, str(size), text(one)] for size, one in zip(sizes, speeds)]
        scales = {"xaxis": {"type": "log"}, "yaxis": {"type": "log"}}
        made.panels.append((", ".join(key), panel(traces, "batch size", "samples/s: higher is better", 360, **scales)))
    return made


def onnx(cells: list[dict[str, Any]]) -> Section:
    """Where the exported files run: exporters and tasks against runtimes."""
    made = Section(
        "onnx",
        "Where the exported files run",
        "Each exported ONNX file in each runtime, held against the oracle. A letter beside the colour: P passes, "
        "D is degraded, W is wrong, R is refused, C crashes, T is out of time, - is not installed.",
        ["file", "runtime", "state", "stage", "reason"],
    )
    grid: dict[tuple[str, str], dict[str, Any]] = {}
    for cell in cells:
        words = (cell.get("task"), cell.get("exporter") or cell.get("backend"), cell.get("variant"))
        file = " ".join(str(word) for word in words if word and word != "as exported")
        grid[file, cell["runtime"]] = cell
        made.rows.append([file, *(str(cell.get(name) or "-") for name in ("runtime", "state", "stage", "reason"))])
    if grid:
        files, runtimes = (list(dict.fromkeys(key[place] for key in grid)) for place in (0, 1))
        states = [[grid.get((file, runtime), {}).get("state") for runtime in runtimes] for file in files]
        palette = ("#BBBBBB", "#999999", "#6B2D00", "#D55E00", "#CC79A7", "#E69F00", "#009E73")
        scale = [[(place + end) / len(palette), colour] for place, colour in enumerate(palette) for end in (0, 1)]
        heat = trace(
            "heatmap",
            z=[[None if state is None else ONNX.get(state, 0) for state in row] for row in states],
            x=runtimes,
            y=files,
            zmin=-0.5,
            zmax=len(ONNX) - 0.5,
            colorscale=scale,
            showscale=False,
            xgap=2,
            ygap=2,
            text=[
                ["" if state is None else "-" if state == "not_installed" else state[0].upper() for state in row]
                for row in states
            ],
            texttemplate="%{text}",
            customdata=[[state or "" for state in row] for row in states],
            hovertemplate="%{y} in %{x}: %{customdata}<extra></extra>",
        )
        upside = {"yaxis": {"autorange": "reversed"}, "xaxis": {"side": "top"}}
        made.panels.append(("", panel([heat], "", "", 90 + 24 * len(files), **upside)))
    return made


def sections(told: dict[str, Any], records: list[dict[str, Any]], names: Names, ratios: Ratios) -> list[Section]:
    """Every chart for which the run has something to draw."""
    families, styles = ranking.group_by_family(told["cells"]), looks(told["cells"])
    made = [
        ratio_dots(families, names, ratios, styles),
        trade(families, names, styles),
        curves(families, names, styles, records),
        start_up(families, names),
        scaling(told["cells"], styles),
        onnx(told.get("portability") or []),
    ]
    return [one for one in made if one.rows]
