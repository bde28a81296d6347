"""The readers of metrics: each returns the value of one record, None if the job did not measure it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from crossframe.harness.analysis import gpu
from crossframe.harness.analysis.statistics import mean, steady
from crossframe.harness.records.model import Record

Reader = Callable[[Record], float | None]


def read_measurement(name: str) -> Reader:
    """Return the reader of a number that the worker measured."""
    return lambda record: getattr(record.measurements, name)


def read_quality(name: str) -> Reader:
    """Return the reader of a metric of the quality on held-out data."""
    return lambda record: record.evaluation.quality.get(name) if record.evaluation else None


def read_onnx(name: Literal["onnx_bytes", "export_s"]) -> Reader:
    """Return the reader of a number about the exported file."""
    return lambda record: getattr(record.evaluation.onnx, name, None) if record.evaluation else None


def read_percentile(name: str, share: float) -> Reader:
    """Return the reader of a percentile of samples, after warm-up."""

    def read(record: Record) -> float | None:
        samples = getattr(record.measurements, name)
        return percentile(steady(samples), share) if samples else None

    return read


def percentile(values: np.ndarray, share: float) -> float:
    """Return a percentile, interpolated linearly between order statistics.

    The result equals that of `numpy.percentile`, which takes ten times as long on so few values.
    """
    ordered, position = np.sort(values), share / 100 * (len(values) - 1)
    below = int(position)
    above = min(below + 1, len(values) - 1)
    return float(ordered[below] + (position - below) * (ordered[above] - ordered[below]))


def read_train_samples_per_s(record: Record) -> float | None:
    """Return samples per second of whole pipelined epochs, after warm-up, without the first two steps."""
    epochs = record.measurements.epochs
    if not epochs:
        return None
    return record.cell.batch_size / float(mean(steady([epoch.train_s / epoch.steps for epoch in epochs])))


def read_jitter_s(record: Record) -> float | None:
    """Return the distance between the quartiles of the time of a step."""
    samples = record.measurements.step_samples_s
    return percentile(steady(samples), 75) - percentile(steady(samples), 25) if samples else None


def read_evaluate_s(record: Record) -> float | None:
    """Return the median time of an evaluation on held-out data."""
    times = [point.evaluate_s for point in record.measurements.curve if point.evaluate_s is not None]
    return percentile(np.asarray(times), 50) if times else None


def read_infer_samples_per_s(record: Record) -> float | None:
    """Return samples per second of inference in batches, after warm-up."""
    samples, size = record.measurements.infer_batch_samples_s, record.measurements.infer_batch_size
    return size / percentile(steady(samples), 50) if samples and size is not None else None


def read_energy_j(record: Record) -> float | None:
    """Return the energy of the device during training: of the GPU, or of the processor packages."""
    if record.cell.device != "cpu":
        return gpu.read_energy_j(record)
    receipt = record.measurements.receipt
    return receipt.energy_j if receipt else None


def read_energy_per_sample_j(record: Record) -> float | None:
    """Return the energy of the GPU per sample, over the epochs that give `train_samples_per_s`."""
    power_w, rate = gpu.read_power_w(record), read_train_samples_per_s(record)
    return power_w / rate if power_w is not None and rate else None


def read_achieved_rate(demand: Literal["step_flops", "step_bytes"]) -> Reader:
    """Return the reader of the least operations or bytes of a step, times the steps per second of whole epochs."""

    def read(record: Record) -> float | None:
        if record.roofline is None:
            return None
        rate, per_step = read_train_samples_per_s(record), getattr(record.roofline, demand)
        return rate / record.cell.batch_size * per_step if rate and per_step else None

    return read


def read_utilization(
    demand: Literal["step_flops", "step_bytes"], ceiling: Literal["ceiling_flops_per_s", "ceiling_bytes_per_s"]
) -> Reader:
    """Return the reader of the achieved rate, divided by the ceiling of the device in this run."""

    def read(record: Record) -> float | None:
        if record.roofline is None:
            return None
        achieved, most = read_achieved_rate(demand)(record), getattr(record.roofline, ceiling)
        return achieved / most if achieved and most else None

    return read
