"""The report as one HTML page that opens without a network: the table, then the charts."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from harness import report

CHARTS = {
    "train_samples_per_s": "Training, samples a second (more is better)",
    "first_step_s": "First step with compilation, seconds (less is better)",
    "infer_latency_s": "Inference of one sample, seconds (less is better)",
    "host_peak_bytes": "Peak memory of the process, bytes (less is better)",
}
# Okabe and Ito's colours, told apart by every kind of colour vision.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem; padding: 0 1rem }
table { border-collapse: collapse; display: block; overflow-x: auto }
th, td { padding: .2rem .6rem; border-bottom: 1px solid #ddd; text-align: left }
td { white-space: nowrap; font-variant-numeric: tabular-nums }
"""


def chart(cells: list[dict[str, Any]], name: str, title: str) -> Any:
    """Bars by task, a colour a backend and mode, on a logarithmic axis, with intervals where there are any."""
    import plotly.graph_objects as go

    figure = go.Figure()
    kinds = dict.fromkeys((cell["backend"], cell["mode"]) for cell in cells)
    for place, (backend, mode) in enumerate(kinds):
        own = [c for c in cells if (c["backend"], c["mode"]) == (backend, mode) and c["metrics"][name]["value"]]
        metrics = [cell["metrics"][name] for cell in own]
        above = [(m["high"] or m["value"]) - m["value"] for m in metrics]
        below = [m["value"] - (m["low"] or m["value"]) for m in metrics]
        figure.add_bar(
            x=[cell["task"] for cell in own],
            y=[metric["value"] for metric in metrics],
            error_y={"type": "data", "symmetric": False, "array": above, "arrayminus": below},
            name=f"{backend} {mode}",
            marker_color=COLOURS[place % len(COLOURS)],
        )
    figure.update_layout(title=title, yaxis_type="log", template="plotly_white", height=420)
    return figure


def write(run: Path) -> Path:
    """`report.html` in the run's folder."""
    from plotly.io import to_html

    told = report.document(run)
    head = "".join(f"<th scope=col>{escape(heading)}</th>" for heading in report.headings())
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(text)}</td>" for text in row) + "</tr>" for row in report.rows(told["cells"])
    )
    charts = [
        to_html(chart(told["cells"], name, title), full_html=False, include_plotlyjs=place == 0)
        for place, (name, title) in enumerate(CHARTS.items())
    ]
    name = escape(told["run"]["name"])
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Crossframe: {name}</title><style>{STYLE}</style>'
        f"<h1>Crossframe: {name}</h1><p>{'<br>'.join(escape(line) for line in report.notes(told))}</p>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{''.join(charts)}</html>"
    )
    path = run / "report.html"
    path.write_text(page)
    return path
