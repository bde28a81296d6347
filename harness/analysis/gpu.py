"""The activity of a GPU during a job, from the samples of `launch.gpu_sampler` and the times of the worker.

Power, clock and throttling are those of the epochs that count for the throughput, without compilation, copies and
evaluations. Memory is that of the job until the end of its training.
"""

from __future__ import annotations

import math

import numpy as np

from crossframe.harness.analysis.statistics import steady
from crossframe.harness.launch.gpu_sampler import AVERAGED_S
from crossframe.harness.records.model import GpuSamples, Record
from crossframe.harness.worker.measurements import TrainMeasurements

FEWEST_SAMPLES = 3  # with fewer samples there is no value

NO_ROWS = np.empty((0, 2))


def read_column(gpu: GpuSamples | None, name: str, end_s: float = math.inf) -> np.ndarray:
    """Return (n, 2): time and value of the samples of a column until a time; n is 0 if the driver reports none."""
    if gpu is None:
        return NO_ROWS
    rows = zip(gpu.samples["at_s"], gpu.samples[name])
    values = [(at_s, value) for at_s, value in rows if at_s is not None and value is not None]
    return np.asarray([row for row in values if row[0] <= end_s], float).reshape(-1, 2)


def timed_spans(record: Record) -> np.ndarray:
    """Return (n, 2): begin and end of each epoch after warm-up, by the clock of the samples; n is 0 if unknown."""
    if record.gpu is None:
        return NO_ROWS
    epochs = [(epoch, epoch.began_s) for epoch in record.measurements.epochs if epoch.began_s is not None]
    steady_count = len(steady([epoch.train_s / epoch.steps for epoch, _ in epochs])) if epochs else 0
    spans = [(began_s, began_s + epoch.train_s) for epoch, began_s in epochs[len(epochs) - steady_count :]]
    return np.asarray(spans, float).reshape(-1, 2)


def training_span(record: Record) -> np.ndarray:
    """Return (1, 2): begin and end of the training with compilation, copies and evaluations; (0, 2) if unknown."""
    receipt = record.measurements.receipt
    if receipt is None or receipt.began_s is None or receipt.ended_s is None:
        return NO_ROWS
    return np.asarray([[receipt.began_s, receipt.ended_s]], float)


def select_samples(record: Record, name: str, spans: np.ndarray) -> np.ndarray:
    """Return the values of a column within some spans; empty if they are fewer than `FEWEST_SAMPLES`."""
    rows = read_column(record.gpu, name)
    inside = (spans[:, :1] <= rows[:, 0]) & (rows[:, 0] <= spans[:, 1:])
    values = rows[inside.any(axis=0), 1]
    return values if len(values) >= FEWEST_SAMPLES else values[:0]


def integrate_energy_j(record: Record, spans: np.ndarray) -> float | None:
    """Return the energy of the GPU in some spans: its counter, interpolated linearly between samples.

    GPUs before Volta have no counter; for them the power, which they report for the moment, is integrated.
    """
    if not len(spans):
        return None
    name = "energy_j" if len(read_column(record.gpu, "energy_j")) else "power_w"
    if not len(select_samples(record, name, spans)):
        return None
    at_s, value = read_column(record.gpu, name).T
    if name == "power_w":
        value = np.concatenate([[0], np.cumsum(np.diff(at_s) * (value[1:] + value[:-1]) / 2)])
    return float(np.diff(np.interp(spans, at_s, value)).sum())


def read_energy_j(record: Record) -> float | None:
    """Return the energy of the whole training."""
    return integrate_energy_j(record, training_span(record))


def read_power_w(record: Record) -> float | None:
    """Return the mean power in the timed epochs."""
    spans = timed_spans(record)
    joules = integrate_energy_j(record, spans)
    return None if joules is None else joules / float(np.diff(spans).sum())


def read_clock_hz(record: Record) -> float | None:
    """Return the mean clock in the timed epochs."""
    clocks = select_samples(record, "clock_hz", timed_spans(record))
    return float(clocks.mean()) if len(clocks) else None


def read_utilisation(record: Record) -> float | None:
    """Return the share of the time in which the GPU ran anything, from the first timed epoch to the end of training.

    Each sample is an average over up to `AVERAGED_S`. Therefore the samples of the first second are not counted, and a
    training shorter than twice that time has no value.
    """
    spans, whole = timed_spans(record), training_span(record)
    if not len(spans) or not len(whole) or whole[0, 1] - spans[0, 0] < 2 * AVERAGED_S:
        return None
    values = select_samples(record, "utilisation", np.asarray([[spans[0, 0] + AVERAGED_S, whole[0, 1]]]))
    return float(values.mean()) if len(values) else None


def measure_memory_rise(gpu: GpuSamples | None, end_s: float = math.inf) -> int | None:
    """Return the rise of the used memory until a time: the largest less the smallest sample, in bytes."""
    used = read_column(gpu, "memory_bytes", end_s=end_s)[:, 1]
    return int(used.max() - used.min()) if len(used) else None


def read_memory_peak_bytes(record: Record) -> int | None:
    """Return the rise of the used memory until the end of training, where the allocator's peak is read too."""
    receipt = record.measurements.receipt
    end_s = math.inf if receipt is None or receipt.ended_s is None else receipt.ended_s
    return measure_memory_rise(record.gpu, end_s)


def read_context_bytes(record: Record) -> int | None:
    """Return the memory that the preparation of the model took, less the reserve of the allocator at that time."""
    prepared, whole = record.measurements.prepared, training_span(record)
    if prepared is None or not len(whole):
        return None
    rows = read_column(record.gpu, "memory_bytes", end_s=whole[0, 1])
    used = rows[(rows[:, 0] >= prepared.at_s) & (rows[:, 0] <= whole[0, 0]), 1]
    return int(used[0] - rows[:, 1].min() - (prepared.reserved_bytes or 0)) if len(used) else None


def read_unexplained_bytes(record: Record) -> int | None:
    """Return the rise of the used memory, less the context and the most that the allocator reserved."""
    rise, context = read_memory_peak_bytes(record), read_context_bytes(record)
    reserved = record.measurements.device_reserved_bytes
    return None if rise is None or context is None or reserved is None else rise - context - reserved


def gpu_not_used_reason(gpu: GpuSamples | None, measurements: TrainMeasurements) -> str | None:
    """Return why a job did not run on its GPU; None if it did, or if the samples cannot tell.

    Only jobs whose allocator reports nothing are checked.
    """
    if gpu is None or measurements.device_peak_bytes is not None or measure_memory_rise(gpu) != 0:
        return None
    return f"{gpu.device} was requested, but the used memory of the GPU did not rise while the job ran"
