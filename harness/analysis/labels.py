"""What a reader calls a cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def names_of(cells: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    """(task, backend, mode) of each cell; the mode with the device, precision and batch size where these tell it apart.

    `("cnn", "a", "jit bfloat16")`, where the same mode ran that task in other precisions too.
    """
    seen: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for cell in cells:
        seen.setdefault((cell["task"], cell["backend"], cell["mode"]), []).append(cell)
    found = []
    for cell in cells:
        task, backend, mode = cell["task"], cell["backend"], cell["mode"]
        for part, word in (("device", ""), ("precision", ""), ("batch_size", "batch ")):
            if len({one[part] for one in seen[task, backend, cell["mode"]]}) > 1:
                mode += f" {word}{cell[part]}"
        found.append((task, backend, mode))
    return found


ABSENT = "-"


# Figure -> (heading, what to divide it by, decimals).
COLUMNS: dict[str, tuple[str, float, int]] = {
    "train_samples_per_s": ("samples/s", 1, 0),
    "step_s": ("step ms", 1e-3, 2),
    "first_step_s": ("first step s", 1, 2),
    "import_s": ("import s", 1, 2),
    "time_to_target_s": ("to target s", 1, 2),
    "infer_latency_s": ("infer ms", 1e-3, 2),
    "host_peak_bytes": ("host peak MB", 1e6, 0),
    "onnx_bytes": ("onnx kB", 1e3, 0),
}


def shown(metric: dict[str, Any], divisor: float, decimals: int) -> str:
    """A figure and how far its 95 % interval reaches to its farther side; a dash where there is none."""
    if metric["value"] is None:
        return ABSENT
    text = f"{metric['value'] / divisor:,.{decimals}f}"
    if metric["low"] is not None and metric["value"]:
        off = max(metric["high"] / metric["value"] - 1, 1 - metric["low"] / metric["value"])
        text += f" ±{off:.0%}" if off < 1 else " ±>100%"
    return text
