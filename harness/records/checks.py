"""The ranges of stored values that the types of the standard library cannot express.

The types of the worker's measurements use the standard library only. Their ranges are defined here, and are checked
when records are read and stated in the published schemas.
"""

from __future__ import annotations

from crossframe.harness.records.model import GpuSamples, Record
from crossframe.harness.worker.measurements import OperatorProfile, TrainMeasurements

COUNTS = (
    "host_baseline_bytes",
    "host_peak_bytes",
    "device_peak_bytes",
    "device_reserved_bytes",
    "checkpoint_bytes",
)
SAMPLES = ("step_samples_s", "infer_samples_s", "infer_batch_samples_s")
GPU_COLUMNS = ("at_s", "memory_bytes", "utilisation", "power_w", "clock_hz", "energy_j", "throttle")


def check_record(record: Record) -> None:
    """Raise ValueError if a value of a record is outside its range."""
    _check_measurements(record.measurements)
    if record.measurements.operators is not None:
        _check_operators(record.measurements.operators)
    if record.gpu is not None:
        _check_gpu_samples(record.gpu)


def _check_measurements(measurements: TrainMeasurements) -> None:
    for name in COUNTS:
        count = getattr(measurements, name)
        if count is not None and count < 0:
            raise ValueError(f"{name} is {count}, less than 0")
    for name in SAMPLES:
        samples = getattr(measurements, name)
        if samples is None:
            continue
        if not samples:
            raise ValueError(f"{name} has no samples")
        if min(samples) < 0:
            raise ValueError(f"{name} contains {min(samples)}, less than 0")


def _check_operators(profile: OperatorProfile) -> None:
    if profile.steps is not None and profile.steps < 1:
        raise ValueError(f"the profile of operators is of {profile.steps} steps")
    for row in profile.rows:
        if row.calls < 0 or row.self_s < 0:
            raise ValueError(f"the operator {row.name} has {row.calls} calls and {row.self_s} s")


def _check_gpu_samples(gpu: GpuSamples) -> None:
    missing = [name for name in GPU_COLUMNS if name not in gpu.samples]
    if missing:
        raise ValueError(f"the GPU samples lack {', '.join(missing)}")
