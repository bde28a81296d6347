"""The text of cells and metrics in tables and messages."""

from __future__ import annotations

import math
from collections.abc import Sequence

from crossframe.harness.analysis.model import CellReport, Metric
from crossframe.harness.records.model import Cell

ABSENT = "-"

# Metric -> (heading, divisor, decimals).
COLUMNS: dict[str, tuple[str, float, int]] = {
    "train_samples_per_s": ("training samples/s", 1, 0),
    "step_s": ("step ms", 1e-3, 2),
    "first_step_s": ("first step s", 1, 2),
    "import_s": ("import s", 1, 2),
    "time_to_target_s": ("time to target s", 1, 2),
    "infer_latency_s": ("inference ms", 1e-3, 2),
    "host_peak_bytes": ("host peak MB", 1e6, 0),
    "onnx_bytes": ("ONNX kB", 1e3, 0),
}
# Metric -> (name in sentences, unit, divisor).
METRIC_NAMES: dict[str, tuple[str, str, float]] = {
    "train_samples_per_s": ("training", "samples/s", 1),
    "step_s": ("training step", "ms", 1e-3),
    "first_step_s": ("first step", "s", 1),
    "time_to_target_s": ("time to target", "s", 1),
    "infer_latency_s": ("one inference", "ms", 1e-3),
    "infer_samples_per_s": ("inference", "samples/s", 1),
    "host_peak_bytes": ("peak memory", "MB", 1e6),
    "device_peak_bytes": ("GPU peak memory", "MB", 1e6),
    "onnx_bytes": ("ONNX file", "kB", 1e3),
}


def name_metric(metric: str) -> str:
    """Return the name of a metric in sentences; its key if it has no name of its own, as `accuracy`."""
    return METRIC_NAMES[metric][0] if metric in METRIC_NAMES else metric


def cell_labels(cells: Sequence[Cell | CellReport]) -> list[tuple[str, str, str]]:
    """Return (task, backend, mode) of each cell; the mode includes device, precision and batch size where these differ.

    For example, `("cnn", "a", "jit bfloat16")` if the same mode ran that task in other precisions too.
    """
    groups: dict[tuple[str, str, str], list[Cell | CellReport]] = {}
    for cell in cells:
        groups.setdefault((cell.task, cell.backend, cell.mode), []).append(cell)
    labels = []
    for cell in cells:
        group = groups[cell.task, cell.backend, cell.mode]
        mode = cell.mode
        for part, prefix in (("device", ""), ("precision", ""), ("batch_size", "batch ")):
            if len({getattr(member, part) for member in group}) > 1:
                mode += f" {prefix}{getattr(cell, part)}"
        labels.append((cell.task, cell.backend, mode))
    return labels


def format_metric(metric: Metric, divisor: float, decimals: int) -> str:
    """Return a metric with the distance to the farther end of its 95 % interval; a dash if it has no value."""
    if metric.value is None:
        return ABSENT
    text = f"{metric.value / divisor:,.{decimals}f}"
    if metric.low is not None and metric.high is not None and metric.value:
        distance = max(metric.high / metric.value - 1, 1 - metric.low / metric.value)
        text += f" ±{distance:.0%}" if distance < 1 else " ±>100%"
    return text


def format_probability(probability: float) -> str:
    """Return a probability as `74%`; `over 99%` and `under 1%` at the ends, since none is certain."""
    if probability > 0.99:
        return "over 99%"
    return f"{probability:.0%}" if probability >= 0.01 else "under 1%"


def format_significant(value: float) -> str:
    """Return a number with three significant digits, and all digits before the point: `0.0123`, `1.50`, `14,920`."""
    digits = 2 - math.floor(math.log10(abs(value))) if value else 0
    return f"{value:,.{max(0, digits)}f}"
