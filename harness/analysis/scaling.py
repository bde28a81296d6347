"""The bottleneck of a step, starting operations or executing them, from cells of one task in two scales of one run.

Both scales start the same operations, and each operation of the larger scale has more work. The exponent e relates the
two steps: time' / time = (work' / work) ** e. With e near 0 the time of a step does not depend on its work: it is bound
by starting operations (launch-bound). With e near 1 it is bound by executing them (compute-bound).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from crossframe.harness.analysis.model import CellReport, Metric
from crossframe.tasks.widen import split_name

LAUNCH_BOUND, COMPUTE_BOUND = 0.25, 0.75  # exponents below and above; between them a step is neither


def add_scaling_exponents(reports: Sequence[CellReport]) -> list[CellReport]:
    """Return the reports with the metric `scaling_exponent` of each, against the next larger scale of its task."""
    lineages: dict[tuple[str | float, ...], list[CellReport]] = {}
    for report in reports:
        lineages.setdefault(_read_lineage(report), []).append(report)
    values = [_measure_exponent(report, lineages[_read_lineage(report)]) for report in reports]
    return [
        replace(report, metrics={**report.metrics, "scaling_exponent": value}) for report, value in zip(reports, values)
    ]


def classify_exponent(exponent: float) -> str:
    """Return `launch-bound`, `compute-bound` or `between`."""
    return "launch-bound" if exponent < LAUNCH_BOUND else "compute-bound" if exponent > COMPUTE_BOUND else "between"


def _measure_exponent(report: CellReport, lineage: Iterable[CellReport]) -> Metric:
    """Return log(step' / step) / log(work' / work), where ' marks the larger scale."""
    scales = (scale for scale in lineage if _read_scale(scale) > _read_scale(report))
    larger = min(scales, key=_read_scale, default=None)
    if larger is None:
        return Metric(None, reason="this run has no larger scale of this task")
    sides = []
    for side in (report, larger):
        rate, flops_per_s = (side.metrics[name].value for name in ("train_samples_per_s", "flops_per_s"))
        if rate is None or flops_per_s is None:
            return Metric(None, reason="it, or the next larger scale of its task, was not measured")
        sides.append((side.batch_size / rate, flops_per_s * side.batch_size / rate))
    (step_s, work), (larger_step_s, larger_work) = sides
    exponent = math.log(larger_step_s / step_s) / math.log(larger_work / work)
    return Metric(exponent, n=report.metrics["flops_per_s"].n)


def _read_scale(report: CellReport) -> int:
    return split_name(report.task)[1]


def _read_lineage(report: CellReport) -> tuple[str | float, ...]:
    """Return the properties that all scales of a cell share; their batches grow with the scale."""
    task, scale = split_name(report.task)
    return task, report.backend, report.mode, report.device, report.precision, report.batch_size / scale
