"""TODO: say what this module is."""

from __future__ import annotations

import math
from typing import Any

from crossframe.harness.plan.plan import Cell, Plan, task_of
from crossframe.tasks.spec import Task

NAMES = ("flops_per_s", "bytes_per_s")


PASSES_A_STEP = 3  # over the weights, at least: read forward, read and written by the update


def weight_bytes(precision: str) -> int:
    """Of one weight. Training in less than 32 bits keeps its weights in 32."""
    return 8 if precision == "float64" else 4


def train_flops(task: Task) -> int:
    """Floating-point operations of one sample in training, by the same count as `Task.flops`.

    Three times the forward pass: backward, each weight is used twice as often as forward, once for its own gradient
    and once for that of its input (Goodfellow, Bengio and Courville 2016, section 6.5). Less one use of the weights
    that the network's own input meets, whose gradient nobody needs.
    """
    layer, shape = next((layer, shape) for _, layer, shape in task.walk() if layer.parameters(shape))
    (entry, *_) = layer.fans(shape)
    return 3 * task.flops() - 2 * layer.uses(shape) * math.prod(layer.parameters(shape)[entry])


def train_bytes(task: Task, precision: str) -> int:
    """Bytes that one step must move at least: each weight is read forward, and read and written by the update."""
    return PASSES_A_STEP * weight_bytes(precision) * sum(map(math.prod, task.parameters().values()))


def of_cell(plan: Plan, cell: Cell, measured: list[dict[str, Any]]) -> dict[str, Any]:
    """What a step of a cell has to do; the ceilings, of products in its precision and any copy; doubts of these."""
    task = task_of(plan, cell)
    telling = {"flops_per_s": [one for one in measured if one["precision"] == cell.precision], "bytes_per_s": measured}
    ceilings = {
        f"ceiling_{name}": max((one[name] for one in telling[name] if one[name]), default=None) for name in NAMES
    }
    step = {"step_flops": train_flops(task) * task.batch_size, "step_bytes": train_bytes(task, cell.precision)}
    doubts = sorted({doubt for one in measured for doubt in one.get("doubts", [])})
    return {**step, **ceilings, "doubts": doubts}
