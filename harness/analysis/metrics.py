"""The metrics of a cell from its records: a median with an interval over processes, or the reason for its absence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from crossframe.harness.analysis import fairness, gpu
from crossframe.harness.analysis.break_even import add_break_even
from crossframe.harness.analysis.gpu_warnings import describe_memory
from crossframe.harness.analysis.model import CellReport, Metric, OnnxState
from crossframe.harness.analysis.readers import (
    Reader,
    read_achieved_rate,
    read_energy_j,
    read_energy_per_sample_j,
    read_evaluate_s,
    read_infer_samples_per_s,
    read_jitter_s,
    read_measurement,
    read_onnx,
    read_percentile,
    read_quality,
    read_train_samples_per_s,
    read_utilization,
)
from crossframe.harness.analysis.scaling import add_scaling_exponents
from crossframe.harness.analysis.statistics import Better, list_intervals
from crossframe.harness.records.model import Cell, Record
from crossframe.harness.worker.states import State
from crossframe.tasks.spec import QUALITY


@dataclass(frozen=True)
class MetricDefinition:
    """One metric: its reader, the reason for a missing value, and the direction that is better."""

    read: Reader
    absent: str  # the reason where `read` returns None for a job that is ok
    better: Better = "less"
    of_complete: bool = False  # only of jobs that train to the end

    def select(self, records: Sequence[Record]) -> Sequence[Record]:
        """Return the records that can have the metric."""
        return [record for record in records if record.complete] if self.of_complete else records


NOT_MEASURED = "not measured"
NO_ROOFLINE = "an older run, which has no roofline"
NO_CEILING = "no ceiling was measured for this device and precision"
UTILIZATIONS = ("compute_utilization", "bandwidth_utilization")
EXCEEDED = "more than the ceiling: other programs ran while that was measured, or the moved data fit into a cache"
NO_ENERGY = "RAPL of a processor can't be read here; NVML of a GPU neither, or training took less than three samples"
NO_SAMPLES = "no GPU, or its driver does not report it, or the timed epochs took less than the time of three samples"
NOT_PREPARED = "no GPU, or its driver does not report it, or an older run, which did not record it"
NOT_THIS_LOSS = "not a metric of this task's loss"
NO_PROC = "this system has no /proc/self/status"
NO_NVML = "no GPU, or its driver does not report it"

METRICS: dict[str, MetricDefinition] = {
    "import_s": MetricDefinition(read_measurement("import_s"), NOT_MEASURED),
    "prepare_s": MetricDefinition(read_measurement("prepare_s"), NOT_MEASURED),
    "first_step_s": MetricDefinition(read_measurement("first_step_s"), NOT_MEASURED),
    "second_step_s": MetricDefinition(read_measurement("second_step_s"), "an epoch of one step"),
    "step_s": MetricDefinition(read_percentile("step_samples_s", 50), NOT_MEASURED),
    "step_p95_s": MetricDefinition(read_percentile("step_samples_s", 95), NOT_MEASURED),
    "step_p99_s": MetricDefinition(read_percentile("step_samples_s", 99), NOT_MEASURED),
    "step_jitter_s": MetricDefinition(read_jitter_s, NOT_MEASURED),
    "train_samples_per_s": MetricDefinition(read_train_samples_per_s, NOT_MEASURED, "more"),
    "evaluate_s": MetricDefinition(read_evaluate_s, NOT_MEASURED),
    "time_to_target_s": MetricDefinition(
        read_measurement("time_to_target_s"), "the target was not reached", of_complete=True
    ),
    "accuracy": MetricDefinition(read_quality("accuracy"), NOT_THIS_LOSS, "more", of_complete=True),
    "precision": MetricDefinition(read_quality("precision"), NOT_THIS_LOSS, "more", of_complete=True),
    "recall": MetricDefinition(read_quality("recall"), NOT_THIS_LOSS, "more", of_complete=True),
    "f1": MetricDefinition(read_quality("f1"), NOT_THIS_LOSS, "more", of_complete=True),
    "mse": MetricDefinition(read_quality("mse"), NOT_THIS_LOSS, of_complete=True),
    "first_epoch_gap": MetricDefinition(
        lambda record: record.evaluation.first_epoch_gap if record.evaluation else None, "not evaluated"
    ),
    "infer_latency_s": MetricDefinition(read_percentile("infer_samples_s", 50), NOT_MEASURED),
    "infer_p95_s": MetricDefinition(read_percentile("infer_samples_s", 95), NOT_MEASURED),
    "infer_samples_per_s": MetricDefinition(read_infer_samples_per_s, NOT_MEASURED, "more"),
    "host_baseline_bytes": MetricDefinition(read_measurement("host_baseline_bytes"), NO_PROC),
    "host_peak_bytes": MetricDefinition(read_measurement("host_peak_bytes"), NO_PROC),
    "device_peak_bytes": MetricDefinition(read_measurement("device_peak_bytes"), "no allocator to ask on this device"),
    "checkpoint_bytes": MetricDefinition(read_measurement("checkpoint_bytes"), NOT_MEASURED, of_complete=True),
    "onnx_bytes": MetricDefinition(read_onnx("onnx_bytes"), "not exported", of_complete=True),
    "export_s": MetricDefinition(read_onnx("export_s"), "not exported", of_complete=True),
    "environment_bytes": MetricDefinition(
        lambda record: record.environment.bytes, "the environment was not made by Crossframe"
    ),
    "environment_install_s": MetricDefinition(
        lambda record: record.environment.install_s, "the environment was not made by Crossframe"
    ),
    "energy_j": MetricDefinition(read_energy_j, NO_ENERGY, of_complete=True),
    "energy_per_sample_j": MetricDefinition(read_energy_per_sample_j, NO_SAMPLES),
    "gpu_memory_peak_bytes": MetricDefinition(gpu.read_memory_peak_bytes, NO_NVML),
    "gpu_context_bytes": MetricDefinition(gpu.read_context_bytes, NOT_PREPARED),
    "device_reserved_bytes": MetricDefinition(
        read_measurement("device_reserved_bytes"), "no allocator to ask, or it does not report it"
    ),
    "gpu_unexplained_bytes": MetricDefinition(gpu.read_unexplained_bytes, "not all of its addends were measured"),
    "gpu_utilisation": MetricDefinition(
        gpu.read_utilisation, f"{NO_NVML}, or training took less than two seconds", "more"
    ),
    "gpu_power_w": MetricDefinition(gpu.read_power_w, NO_SAMPLES),
    "gpu_clock_hz": MetricDefinition(gpu.read_clock_hz, NO_SAMPLES, "more"),
    "flops_per_s": MetricDefinition(read_achieved_rate("step_flops"), NO_ROOFLINE, "more"),
    "bytes_per_s": MetricDefinition(read_achieved_rate("step_bytes"), NO_ROOFLINE, "more"),
    "compute_utilization": MetricDefinition(read_utilization("step_flops", "ceiling_flops_per_s"), NO_CEILING, "more"),
    "bandwidth_utilization": MetricDefinition(
        read_utilization("step_bytes", "ceiling_bytes_per_s"), NO_CEILING, "more"
    ),
}


def build_cell_reports(records: Sequence[Record], uncompiled_modes: Mapping[str, str]) -> list[CellReport]:
    """Return the report of every cell of a run, by task, then by backend and mode.

    `uncompiled_modes`: backend -> the mode that its compiled modes are compared with.
    """
    groups: dict[Cell, list[Record]] = {}
    for record in records:
        groups.setdefault(record.cell, []).append(record)
    withheld = "; ".join(fairness.differences(fairness.fairness_rows(records))) or None
    reports = [build_cell_report(groups[cell], withheld) for cell in sorted(groups)]
    return add_scaling_exponents(add_break_even(reports, uncompiled_modes))


def build_cell_report(records: Iterable[Record], withheld: str | None = None) -> CellReport:
    """Return the report of one cell from the records of its repeats. Its state is `ok` only if every repeat is."""
    records = sorted(records, key=lambda record: record.repeat)
    bad = [record for record in records if record.state != State.OK]
    good = [record for record in records if record.state == State.OK]
    state, reason = (bad[0].state, bad[0].reason) if bad else (State.OK, None)
    if bad and len(records) > 1:
        reason = f"{len(bad)} of {len(records)} repeats: {reason}"
    first = next((record for record in good if record.complete), good[0] if good else records[0])
    cell = first.cell
    return CellReport(
        task=cell.task,
        backend=cell.backend,
        mode=cell.mode,
        device=cell.device,
        precision=cell.precision,
        batch_size=cell.batch_size,
        state=state,
        reason=reason,
        parity=first.parity,
        withheld=withheld,
        deviation=join_failed_checks(good),
        onnx=read_export(first),
        versions=first.measurements.versions,
        dialect=first.measurements.dialect,
        operators=first.measurements.operators,
        gpu_memory=describe_memory(good),
        metrics=_measure(good, f"the cell is {state}"),
    )


def read_export(record: Record) -> OnnxState | None:
    """Return how the export of a job ended; None if it was not tried."""
    agreement = record.evaluation.onnx if record.evaluation else None
    return OnnxState(agreement.state, agreement.reason) if agreement else None


def join_failed_checks(records: Sequence[Record]) -> str | None:
    """Return the checks that failed in any of the jobs of a cell; None if there is none."""
    failures = [
        [f"{check.name}: {check.detail}" for check in record.evaluation.checks if not check.passed]
        for record in records
        if record.evaluation
    ]
    failed = [texts for texts in failures if texts]
    if not failed:
        return None
    text = "; ".join(failed[0])
    return text if len(records) == 1 else f"{len(failed)} of {len(records)} repeats: {text}"


def _measure(records: Sequence[Record], unavailable: str) -> dict[str, Metric]:
    """Return the metrics of the records that are ok, or the reason `unavailable` if there is no such record."""
    metrics, samples = {}, {}
    for name, definition in METRICS.items():
        values = [value for record in definition.select(records) if (value := definition.read(record)) is not None]
        if name in UTILIZATIONS and any(value > 1 for value in values):
            metrics[name] = Metric(None, reason=EXCEEDED)
        elif values:
            samples[name] = values
        else:
            metrics[name] = Metric(None, reason=definition.absent if records else unavailable)
    metrics |= zip(samples, list_intervals([*samples.values()]))
    return {name: metrics[name] for name in METRICS}


def find_quality_metric(report: CellReport) -> str | None:
    """Return the metric of quality that a cell has: `accuracy` or `mse`."""
    names = dict.fromkeys(name for name, _ in QUALITY.values())
    return next((name for name in names if report.metrics[name].value is not None), None)
