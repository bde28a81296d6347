"""The parts of all charts of the page: sections, panels, and the appearance of variants."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

from crossframe.harness.analysis.model import CellReport, Metric
from crossframe.harness.errors import MissingError
from crossframe.harness.records.model import Family
from crossframe.harness.report.answer import join_names

# The colours of frameworks, and of nothing else: those of Okabe and Ito 2008 without black and yellow, which vanish on
# dark and on white, and a brown. Shapes distinguish the variants, also for readers who can't tell the colours apart.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#A6761D")
SHAPES = {  # symbol of plotly -> its outline as an SVG path, within 12 x 12 around 0
    "circle": "M-5,0A5,5,0,1,0,5,0A5,5,0,1,0,-5,0Z",
    "square": "M-5,-5H5V5H-5Z",
    "diamond": "M0,-6L6,0L0,6L-6,0Z",
    "triangle-up": "M0,-6L6,5H-6Z",
    "cross": "M-2,-6H2V-2H6V2H2V6H-2V2H-6V-2H-2Z",
    "x": "M-6,-4L-4,-6L0,-2L4,-6L6,-4L2,0L6,4L4,6L0,2L-4,6L-6,4L-2,0Z",
    "star": "M0,-6L1.5,-2H6L2.4,.8L3.7,5.2L0,2.6L-3.7,5.2L-2.4,.8L-6,-2H-1.5Z",
    "triangle-down": "M0,6L6,-5H-6Z",
    "pentagon": "M0,-6L6,-1.5L3.7,5.2H-3.7L-6,-1.5Z",
    "bowtie": "M-6,-5L0,0L6,-5V5L0,0L-6,5Z",
}
DASHES = ("solid", "dash", "dot", "dashdot")
# For everything that is not a framework: parts of a bar, from dark to light.
SHADES = ("#5B4B8A", "#8878B8", "#B0A3D6", "#CFC6E8", "#E4DFF2", "#9A9A9A")
GREY = "#8C8C8C"
MOST_PANELS = 50  # a section with more of them is collapsed

Trace = dict[str, object]  # of plotly, as plain data


@dataclass(frozen=True)
class Appearance:
    """The look of a variant, the same in every chart: the colour of its framework, and a symbol of its own."""

    color: str
    symbol: str
    dash: str = "solid"

    def marker(self, size: int) -> dict[str, object]:
        """Return the marker as plotly's plain data."""
        return {"size": size, "color": self.color, "symbol": self.symbol}

    @property
    def outline(self) -> str:
        """The symbol as an SVG path."""
        return SHAPES[self.symbol]


@dataclass(frozen=True)
class Panel:
    """One figure of plotly as JSON, the variants that it can't show with the reasons, and notes on those it shows."""

    title: str
    figure: str
    missing: dict[str, str] = field(default_factory=dict)
    hatched: dict[str, str] = field(default_factory=dict)

    @property
    def notes(self) -> list[str]:
        """The sentences below the figure, one for each reason."""
        return [*describe_variants(self.missing, "not drawn"), *describe_variants(self.hatched, "hatched")]


def describe_variants(reasons: Mapping[str, str], state: str) -> list[str]:
    """Return `a and b are not drawn: no memory` for each reason."""
    groups: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        groups.setdefault(reason, []).append(name)
    return [
        f"{join_names(names)} {'is' if len(names) == 1 else 'are'} {state}: {reason}"
        for reason, names in groups.items()
    ]


@dataclass(frozen=True)
class Section:
    """A chart: its heading, how to read it, its panels, and the same as a table."""

    name: str
    short: str  # in the list of contents
    heading: str
    about: str
    columns: list[str]
    panels: list[Panel] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    legend: Mapping[str, Appearance] = field(default_factory=dict)  # of all panels

    @property
    def is_collapsed(self) -> bool:
        """Whether the panels and the table are shown on demand only."""
        return len(self.panels) > MOST_PANELS


Families = Mapping[Family, Sequence[CellReport]]
Labels = Mapping[Family, str]
Appearances = Mapping[str, Appearance]


def assign_appearances(cells: Iterable[CellReport]) -> dict[str, Appearance]:
    """Return the appearance of each variant, by name in alphabetical order."""
    variants = sorted({(cell.backend, cell.mode, cell.cell.variant) for cell in cells})
    colours = dict(zip(dict.fromkeys(backend for backend, *_ in variants), cycle(COLOURS)))
    modes: dict[str, list[str]] = {}
    appearances = {}
    for (backend, mode, variant), symbol in zip(variants, cycle(SHAPES)):
        modes.setdefault(backend, []).append(mode)
        dash = DASHES[(len(modes[backend]) - 1) % len(DASHES)]
        appearances[variant] = Appearance(colours[backend], symbol, dash)
    return appearances


def shade_parts(names: Iterable[str]) -> dict[str, Appearance]:
    """Return the appearances of the parts of a bar, for a legend."""
    return {name: Appearance(shade, "square") for name, shade in zip(names, SHADES)}


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
    shape = {"height": height, "margin": {"l": 10, "r": 10, "t": 10, "b": 10}, "showlegend": False}
    return as_json({"data": traces, "layout": {**shape, **layout}})


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


def explain_missing(*metrics: Metric) -> str:
    """Return the reason for the first missing value."""
    return next((metric.reason or "no value" for metric in metrics if not metric.value), "no value")


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
