"""The chart of exported files in runtimes."""

from __future__ import annotations

from collections.abc import Sequence

from crossframe.harness.records.portability import PortabilityState, RuntimeResult
from crossframe.harness.report.page.plotly_panels import Panel, Section, panel, trace

# From worst to best: the colour and the letter of each state. No colour is that of a framework.
STATES = {
    PortabilityState.NOT_INSTALLED: ("#C8C8C8", "-"),
    PortabilityState.TIMEOUT: ("#A8A8A8", "T"),
    PortabilityState.CRASH: ("#6E1423", "C"),
    PortabilityState.REFUSED: ("#A4343A", "R"),
    PortabilityState.WRONG: ("#C8575C", "W"),
    PortabilityState.DEGRADED: ("#E4DFF2", "D"),
    PortabilityState.PASS: ("#8878B8", "P"),
}
ORDER = list(STATES)


def portability_section(results: Sequence[RuntimeResult]) -> Section:
    """Return the state of each exported file in each runtime."""
    grid = {(name_file(result), result.runtime): result.state for result in results}
    rows = [
        [name_file(result), result.runtime, str(result.state), str(result.stage), result.reason or "-"]
        for result in results
    ]
    return Section(
        "onnx",
        "ONNX",
        "Where the exported files run",
        "Each exported ONNX file in each runtime, compared with the reference model. The letter repeats the colour: "
        "P passes, D is degraded, W is wrong, R is refused, C crashes, T is a timeout, - is not installed.",
        ["file", "runtime", "state", "stage", "reason"],
        [Panel("", matrix_panel(grid))] if grid else [],
        rows,
    )


def name_file(result: RuntimeResult) -> str:
    """Return the task and exporter of a file, and how it differs from the file as exported."""
    variant = [] if result.variant == "as exported" else [result.variant]
    return " ".join([result.task, result.exporter, *variant])


def matrix_panel(grid: dict[tuple[str, str], PortabilityState]) -> str:
    files, runtimes = (list(dict.fromkeys(key[index] for key in grid)) for index in (0, 1))
    states = [[grid.get((file, runtime)) for runtime in runtimes] for file in files]
    colours = [colour for colour, _ in STATES.values()]
    scale = [[(index + end) / len(colours), colour] for index, colour in enumerate(colours) for end in (0, 1)]
    heat = trace(
        "heatmap",
        z=[[None if state is None else ORDER.index(state) for state in row] for row in states],
        x=runtimes,
        y=files,
        zmin=-0.5,
        zmax=len(ORDER) - 0.5,
        colorscale=scale,
        showscale=False,
        xgap=2,
        ygap=2,
        text=[["" if state is None else STATES[state][1] for state in row] for row in states],
        texttemplate="%{text}",
        customdata=[["" if state is None else str(state) for state in row] for row in states],
        hovertemplate="%{y} in %{x}: %{customdata}<extra></extra>",
    )
    axes = {"yaxis": {"autorange": "reversed"}, "xaxis": {"side": "top"}}
    return panel([heat], "", "", 90 + 24 * len(files), **axes)
