"""A job of training steps alone, with which the self-test measures the measurement itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from crossframe.backends.contract import Batch, Model
from crossframe.harness.worker.archives import read_arrays, select_weights
from crossframe.harness.worker.backend_model import import_backend, prepare_model, verify_placement
from crossframe.harness.worker.barrier import read_clocks
from crossframe.harness.worker.ceiling import SIZES, measure_ceiling
from crossframe.harness.worker.jobs import TimeStepsJob
from crossframe.harness.worker.measurements import Epoch, StepMeasurements
from crossframe.harness.worker.process import ResourceUsage, record_peak
from crossframe.harness.worker.timing import read_processor_s, time_call, time_calls, warm_up_clock

CHUNK_S, CHUNKS = 0.02, 12  # pipelined steps: approximate seconds of a chunk, and number of chunks
PRODUCTS = 10  # matrix products for the ceiling of a CPU


def time_steps_job(job: TimeStepsJob, folder: Path, measurements: StepMeasurements) -> None:
    """Execute a job of training steps: the first, chunks of pipelined ones, then single ones."""
    data = read_arrays(job.inputs)
    model = prepare_model(job, job.task, select_weights(data, job.task))
    batches = [model.put(data["x_train"][rows], data["y_train"][rows]) for rows in data["order"][0]]
    model.sync()
    usage = ResourceUsage()
    warm_up_clock()
    measurements.first_step_s = time_call(partial(model.train, batches[:1]), model.sync)
    batches = fill_chunk(model, batches)
    for _ in range(CHUNKS):
        time_chunk(model, batches, measurements)
    verify_placement(model, job.task, job.device)
    measurements.step_samples_s = time_calls(partial(model.train, batches[:1]), model.sync, 5, 0.1, 1000)
    record_peak(measurements)
    measurements.receipt = usage.receipt(model.settings())
    measurements.ceiling_flops = measure_flops(job, model) if job.ceiling else None


def fill_chunk(model: Model, batches: Sequence[Batch]) -> list[Batch]:
    """Return the batches, repeated or cut so that training on them takes about `CHUNK_S`, after a warm-up.

    Reading the weights is part of that time: where `sync` does not wait, nothing else shows how long training takes.
    """
    model.train(batches)  # compiles
    begin = read_clocks()
    model.train(batches)
    model.sync()
    model.weights()
    once_s = read_clocks().wall_s - begin.wall_s
    steps = max(1, round(len(batches) * CHUNK_S / once_s))
    chunk = (list(batches) * (steps // len(batches) + 1))[:steps]
    model.train(chunk)
    model.sync()
    return chunk


def time_chunk(model: Model, batches: Sequence[Batch], measurements: StepMeasurements) -> None:
    """Time one chunk of steps by two clocks, and how long reading the weights still waits for it after `sync`."""
    begin = read_processor_s()
    train_s = time_call(partial(model.train, batches), model.sync)
    measurements.processor_samples_s.append(read_processor_s() - begin)
    measurements.epochs.append(Epoch(None, train_s, len(batches)))
    first_s, second_s = time_read(model), time_read(model)  # the second shows the cost of reading itself
    measurements.read_samples_s.append(max(0.0, first_s - second_s))


def time_read(model: Model) -> float:
    """Return the seconds that reading all weights takes, without those for which this thread waits for a processor."""
    begin = read_clocks()
    model.weights()
    end = read_clocks()
    return end.wall_s - begin.wall_s - (end.delay_s - begin.delay_s)


def measure_flops(job: TimeStepsJob, model: Model) -> float:
    """Return the most float32 operations per second, in a large matrix product.

    On a GPU by the backend and in elapsed time. On a CPU by NumPy and in processor time, like the steps: other
    programs may take any share of the elapsed time.
    """
    if job.device != "cpu":
        return measure_ceiling(import_backend(job), model, job.device)[0]
    side, _ = SIZES["cpu"]
    square = np.ones((side, side), np.float32)
    return 2 * side**3 / min(time_on_processor(lambda: square @ square) for _ in range(PRODUCTS))


def time_on_processor(call: Callable[[], Any]) -> float:
    """Return the processor seconds of this process during a call."""
    begin = read_processor_s()
    call()
    return read_processor_s() - begin
