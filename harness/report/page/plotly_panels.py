"""The parts of all charts of the page: sections, panels, and the appearance of variants."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from crossframe.harness.analysis.model import CellReport, Metric
from crossframe.harness.errors import MissingError
from crossframe.harness.records.model import Family

# The colours of Okabe and Ito 2008 without black and yellow, which vanish on dark and on white. Shapes repeat them for
# readers who can't tell the colours apart.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C8C8C")
SHAPES = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star", "triangle-down", "pentagon", "bowtie")
GREY = "#8C8C8C"

Trace = dict[str, object]  # of plotly, as plain data


@dataclass(frozen=True)
class Section:
    """A chart: its heading, how to read it, its panels (title, figure of plotly as JSON), and the same as a table."""

    name: str
    heading: str
    about: str
    columns: list[str]
    panels: list[tuple[str, str]] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)


@dataclass(frozen=True)
class Appearance:
    """The marker of a variant, the same in every chart."""

    color: str
    symbol: str

    def marker(self, size: int) -> dict[str, object]:
        """Return the marker as plotly's plain data."""
        return {"size": size, "color": self.color, "symbol": self.symbol}


Families = Mapping[Family, Sequence[CellReport]]
Labels = Mapping[Family, str]
Appearances = Mapping[str, Appearance]


def assign_appearances(cells: Iterable[CellReport]) -> dict[str, Appearance]:
    """Return the appearance of each variant, by name in alphabetical order."""
    names = sorted({cell.cell.variant for cell in cells})
    return {
        name: Appearance(COLOURS[index % len(COLOURS)], SHAPES[index % len(SHAPES)]) for index, name in enumerate(names)
    }


def trace(kind: str, **parts: object) -> Trace:
    """Return a trace as plain data, without the parts that are None.

    The tests validate it against plotly's schema, which would take as long here as everything else.
    """
    return {"type": kind, **{name: part for name, part in parts.items() if part is not None}}


def panel(traces: Sequence[Trace], x: str, y: str, height: int = 300, **layout: Any) -> str:
    """Return one figure as JSON. The page sets the colours of text, grid and background, for light and dark."""
    axes = {"automargin": True, "zeroline": False}
    layout["xaxis"] = {"title": {"text": x}, **axes, **layout.get("xaxis", {})}
    layout["yaxis"] = {"title": {"text": y}, **axes, **layout.get("yaxis", {})}
    shape = {"height": height, "margin": {"l": 10, "r": 10, "t": 10, "b": 10}}
    legend = {"orientation": "h", "y": -0.3, "yref": "paper", "traceorder": "normal"}
    return as_json({"data": traces, "layout": {**shape, "legend": legend, **layout}})


def as_json(figure: Mapping[str, object]) -> str:
    """Return a figure as plotly's JSON. MissingError if plotly is not installed: measuring does not need it."""
    try:
        import plotly.io
    except ModuleNotFoundError:
        remedy = "run `crossframe report RUN --format html` where it is"
        raise MissingError(f"plotly, which writes the charts, is not installed in this Python; {remedy}") from None
    return str(plotly.io.json.to_json_plotly(figure))


def value_of(metric: Metric) -> float:
    """Return the value of a metric that is known to have one."""
    assert metric.value is not None, metric.reason
    return metric.value


def error_span(metric: Metric, divisor: float = 1) -> tuple[float, float]:
    """Return the distances of the ends of the interval from the value: (above, below)."""
    if metric.low is None or metric.high is None:
        return 0.0, 0.0
    value = value_of(metric)
    return (metric.high - value) / divisor, (value - metric.low) / divisor


def error_bars(spans: Iterable[tuple[float, float]]) -> dict[str, object]:
    """Return the error bars of a trace from the (above, below) of its points."""
    above, below = zip(*spans, strict=True)
    return {
        "type": "data",
        "symmetric": False,
        "array": above,
        "arrayminus": below,
        "thickness": 1.5,
        "color": GREY,
    }
