"""The operations and bytes of a training step, and the ceilings of the device: the roofline of a cell."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from crossframe.harness.records.model import CeilingResult, Cell, Roofline
from crossframe.tasks.spec import Task

PASSES_PER_STEP = 3  # over the weights, at least: one read in the forward pass, one read and one write in the update


def weight_bytes(precision: str) -> int:
    """Return the bytes of one weight. Training in less than 32 bits keeps its weights in 32."""
    return 8 if precision == "float64" else 4


def train_flops(task: Task) -> int:
    """Return the floating-point operations of one sample in training, by the same count as `Task.flops`.

    Three times the forward pass: backward, each weight is used twice as often as forward, once for its own gradient
    and once for that of its input (Goodfellow, Bengio and Courville 2016, section 6.5). The first weights are used once
    less, since the gradient of the network's input is not needed.
    """
    layer, shape = next((layer, shape) for _, layer, shape in task.walk_leaves() if layer.parameters(shape))
    (entry, *_) = layer.fans(shape)
    return 3 * task.flops() - 2 * layer.uses(shape)[entry] * math.prod(layer.parameters(shape)[entry])


def train_bytes(task: Task, precision: str) -> int:
    """Return the least bytes that one step moves: each weight is read forward, and read and written by the update.

    A buffer is read and written once, by its update.
    """
    parameters, buffers = (sum(map(math.prod, shapes.values())) for shapes in (task.parameters(), task.buffers()))
    return weight_bytes(precision) * (PASSES_PER_STEP * parameters + 2 * buffers)


def roofline_for(task: Task, cell: Cell, ceilings: Sequence[CeilingResult]) -> Roofline:
    """Return the demands of a step of a cell, and the ceilings of the device.

    The ceiling of operations is that of matrix products in the precision of the cell; the ceiling of bytes is that of
    any copy, which does not depend on the precision.
    """
    return Roofline(
        step_flops=train_flops(task) * task.batch_size,
        step_bytes=train_bytes(task, cell.precision),
        ceiling_flops_per_s=_largest(c.flops_per_s for c in ceilings if c.precision == cell.precision),
        ceiling_bytes_per_s=_largest(c.bytes_per_s for c in ceilings),
        caveats=sorted({caveat for ceiling in ceilings for caveat in ceiling.caveats}),
    )


def _largest(rates: Iterable[float | None]) -> float | None:
    return max((rate for rate in rates if rate), default=None)
