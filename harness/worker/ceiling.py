"""A ceiling job: the most that the device can do, in operations and in bytes per second.

It times a large matrix product and a large copy, by functions of the backend
(`crossframe.backends.contract.BackendModule.ceiling`). A copy reads and writes every byte.
"""

from __future__ import annotations

from pathlib import Path

from crossframe.backends.contract import BackendModule, Model, RepeatedOperation, get_ceiling_function
from crossframe.harness.worker.backend_model import import_backend, prepare_model, verify_placement
from crossframe.harness.worker.jobs import CeilingJob
from crossframe.harness.worker.measurements import CeilingMeasurements
from crossframe.harness.worker.timing import read_clock
from crossframe.tasks.spec import SGD, Dense, Task, initial_weights

SAMPLED_S = 0.4
PIPELINED_S = 0.005  # between two readings of the clock, for each of which a GPU stops
SIZES = {"cpu": (1024, 64 << 20), "cuda": (8192, 1 << 30)}  # kind of device -> (side of a matrix, bytes of a copy)


def ceiling_job(job: CeilingJob, folder: Path, measurements: CeilingMeasurements) -> None:
    """Execute a ceiling job with a small model on the device, in the precision of the job."""
    task = Task("ceiling", "", (8,), (Dense(8),), "mean_squared_error", SGD(1e-3), 1, 0.0)
    model = prepare_model(job, task, initial_weights(task, 0))
    measurements.flops_per_s, measurements.bytes_per_s = measure_ceiling(import_backend(job), model, job.device)
    verify_placement(model, task, job.device)


def measure_ceiling(backend: BackendModule, model: Model, device: str) -> tuple[float, float]:
    """Return the most operations and bytes per second of a device.

    Unsupported where the backend has no function `ceiling`; RuntimeError where the copy was not on the device.
    """
    side, size = SIZES[device.partition(":")[0]]
    multiply, copy = get_ceiling_function(backend)(model, side, size)
    flops_per_s, bytes_per_s = 2 * side**3 / time_best_s(multiply), 2 * size / time_best_s(copy)
    peak = None if device == "cpu" else model.device_peak_bytes()
    if peak is not None and peak < 2 * size:
        raise RuntimeError(f"requested a copy on {device}, but the peak of its allocator is {peak} of {2 * size} bytes")
    return flops_per_s, bytes_per_s


def time_best_s(operation: RepeatedOperation) -> float:
    """Return the least seconds of one operation in several samples, after a warm-up."""
    operation(1)
    end = read_clock() + SAMPLED_S
    samples_s = [time_operation(operation, 1)]
    times = max(1, int(PIPELINED_S / samples_s[0]))
    while read_clock() < end:
        samples_s.append(time_operation(operation, times) / times)
    return min(samples_s)


def time_operation(operation: RepeatedOperation, times: int) -> float:
    """Return the seconds of an operation that is repeated so many times."""
    begin = read_clock()
    operation(times)
    return read_clock() - begin
