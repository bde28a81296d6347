"""What bounds a step: starting its operations, or doing them. From cells of one task in two scales, of the same run.

Both start the same operations, and the larger one gives each of them more to do. If its step takes (its work / this
work) ** e as long, then about e = 0 a step takes the same time however much it has to do: it is bound by starting
operations (launch-bound). About e = 1 it is bound by doing them.
"""

from __future__ import annotations

import math
from itertools import groupby
from typing import Any

from crossframe.tasks.widen import unscaled

Cell = dict[str, Any]
LAUNCH_BOUND, COMPUTE_BOUND = 0.25, 0.75  # below and above it can be called so; between, it is on its way


def fill(cells: list[Cell]) -> None:
    """Fill `scaling_exponent` of every cell that has train_samples_per_s and flops_per_s, against the next scale."""

    def family(cell: Cell) -> tuple[Any, ...]:
        return (unscaled(cell["task"])[0], *(cell[name] for name in ("backend", "mode", "device", "precision")))

    for _, alike in groupby(sorted(cells, key=family), key=family):
        by_scale = sorted(alike, key=lambda cell: unscaled(cell["task"])[1])
        for place, cell in enumerate(by_scale):
            larger = next((one for one in by_scale[place + 1 :] if is_larger(one, cell)), None)
            cell["metrics"]["scaling_exponent"] = exponent(cell, larger)


def is_larger(one: Cell, cell: Cell) -> bool:
    """Whether it is the same cell at a larger scale, the batch too."""
    factor = unscaled(one["task"])[1] / unscaled(cell["task"])[1]
    return factor > 1 and one["batch_size"] == factor * cell["batch_size"]


def regime(value: float) -> str:
    """What an exponent says, in a word."""
    return "launch-bound" if value < LAUNCH_BOUND else "compute-bound" if value > COMPUTE_BOUND else "between"


def exponent(cell: Cell, larger: Cell | None) -> dict[str, Any]:
    """log(step' / step) / log(work' / work), ' for the larger cell."""
    nothing = {"value": None, "low": None, "high": None, "n": 0}
    if larger is None:
        return {**nothing, "reason": "this run has no larger scale of this task"}
    sides = []
    for one in (cell, larger):
        rate, flops_per_s = (one["metrics"][name]["value"] for name in ("train_samples_per_s", "flops_per_s"))
        if rate is None or flops_per_s is None:
            return {**nothing, "reason": "it, or the next larger scale of its task, was not measured"}
        sides.append((one["batch_size"] / rate, flops_per_s * one["batch_size"] / rate))
    (step_s, work), (larger_step_s, larger_work) = sides
    value = math.log(larger_step_s / step_s) / math.log(larger_work / work)
    return {**nothing, "value": value, "n": cell["metrics"]["flops_per_s"]["n"]}
