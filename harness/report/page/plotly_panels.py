"""What all charts of the page are made of: a section, its panels, and looks that stay the same from chart to chart."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import plotly.io

from crossframe.harness.analysis import ranking

# Okabe and Ito's colours but for black and yellow, which vanish on dark and on white; each with a shape of its own.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C8C8C")
SHAPES = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star", "triangle-down", "pentagon", "bowtie")

Names = dict[ranking.Key, str]


@dataclass
class Section:
    """A chart: its heading, how to read it, its panels (plotly's figures as JSON), and the same as a table."""

    name: str
    heading: str
    about: str
    head: list[str]
    panels: list[tuple[str, str]] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)


def family_names(cells: list[dict[str, Any]]) -> Names:
    """Workload -> its task, with the device, precision and batch size where the run has several."""
    keys = list(ranking.group_by_family(cells))
    varied = [place for place in range(1, len(ranking.FAMILY)) if len({key[place] for key in keys}) > 1]
    words = {place: "batch " if ranking.FAMILY[place] == "batch_size" else "" for place in varied}
    return {key: ", ".join([str(key[0]), *(f"{words[place]}{key[place]}" for place in varied)]) for key in keys}


def looks(cells: list[dict[str, Any]]) -> dict[str, dict[str, str]]:
    """Candidate -> its colour and shape, the same in every chart."""
    names = sorted({ranking.candidate(cell) for cell in cells})
    return {
        name: {"color": COLOURS[place % len(COLOURS)], "symbol": SHAPES[place % len(SHAPES)]}
        for place, name in enumerate(names)
    }


def trace(kind: str, **parts: Any) -> dict[str, Any]:
    """A trace of plotly's as plain data; held against plotly's schema by the tests, which takes as long as all else."""
    return {"type": kind, **{name: part for name, part in parts.items() if part is not None}}


def panel(traces: list[Any], x: str, y: str, height: int = 300, **layout: Any) -> str:
    """One figure as JSON; colours of text, grid and ground are the page's, which knows light from dark."""
    axes = {"automargin": True, "zeroline": False}
    layout["xaxis"] = {"title": {"text": x}, **axes, **layout.get("xaxis", {})}
    layout["yaxis"] = {"title": {"text": y}, **axes, **layout.get("yaxis", {})}
    shape = {"height": height, "margin": {"l": 10, "r": 10, "t": 10, "b": 10}}
    legend = {"orientation": "h", "y": -0.3, "yref": "paper", "traceorder": "normal"}
    return str(plotly.io.json.to_json_plotly({"data": traces, "layout": {**shape, "legend": legend, **layout}}))


def error(figure: dict[str, Any], divisor: float = 1) -> tuple[float, float]:
    """(above, below): how far the interval reaches from the value."""
    if figure["low"] is None:
        return 0.0, 0.0
    return (figure["high"] - figure["value"]) / divisor, (figure["value"] - figure["low"]) / divisor


def errors(found: list[tuple[float, float]]) -> dict[str, Any]:
    above, below = zip(*found) if found else ((), ())
    return {
        "type": "data",
        "symmetric": False,
        "array": above,
        "arrayminus": below,
        "thickness": 1.5,
        "color": "#8C8C8C",
    }
