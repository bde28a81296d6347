"""The ranges of stored values that the types of the standard library cannot express.

The types of the worker's measurements use the standard library only. Their ranges are defined here, and are checked
when a worker has ended and when records are read, and are stated in the published schemas.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any

from crossframe.harness.records.model import Cell, GpuSamples, Record, RunInfo
from crossframe.harness.worker.measurements import Epoch, OperatorProfile, TrainMeasurements

COUNTS = (
    "host_baseline_bytes",
    "host_peak_bytes",
    "device_peak_bytes",
    "device_reserved_bytes",
    "checkpoint_bytes",
)
SAMPLES = ("step_samples_s", "infer_samples_s", "infer_batch_samples_s")
GPU_COLUMNS = ("at_s", "memory_bytes", "utilisation", "power_w", "clock_hz", "energy_j", "throttle")
AMOUNTS = ("_s", "_bytes", "_j")  # the ends of names of values that are never negative
LARGEST_AMOUNT, LARGEST_NUMBER = 1e18, 1e300
MOST_SEEDS, LONGEST_TIMEOUT_S = 1_000_000, 1e6
LONGEST_TEXT, LONGEST_REASON = 100_000, 300  # characters
LONGEST_LIST = 20_000  # items; workers leave at most 2,000 samples
# Names of tasks, backends, modes and so on: they become parts of paths, of tables and of formulas.
NAME = re.compile(r"\w[\w.+:@ ()-]{0,199}")


def check_record(record: Record) -> None:
    """Raise ValueError if a value of a record is outside its range."""
    check_names([record.job, *cell_names(record.cell)])
    for part in _field_names(Record):
        if part != "gpu":  # its columns may lack values
            check_values(getattr(record, part), part)
    if record.gpu is not None:
        _check_gpu_samples(record.gpu)


def check_run(info: RunInfo) -> None:
    """Raise ValueError if a value of `run.json` is outside its range, or a name leads out of the folder of the run."""
    check_names([info.device, *info.tasks, *info.specs, *info.backends])
    for job in info.jobs:
        check_names([job.name, *cell_names(job.cell)])
        if job.repeat < 1:
            raise ValueError(f"the job {job.name} is for the {job.repeat}th time")
    check_values(info.options)
    if not 1 <= info.options.seeds <= MOST_SEEDS or not 0 < info.options.timeout_s <= LONGEST_TIMEOUT_S:
        raise ValueError(f"the options have {info.options.seeds} seeds and a timeout of {info.options.timeout_s} s")


def cell_names(cell: Cell) -> Iterable[str]:
    """Return the names that make up a cell."""
    return cell.task, cell.backend, cell.mode, cell.device, cell.precision


def check_names(names: Iterable[str]) -> None:
    """Raise ValueError for a name that could lead out of a folder or be taken for something else."""
    for name in names:
        if not NAME.fullmatch(name) or ".." in name:
            raise ValueError(f"{name[:100]!r} is not a name")


@cache
def _field_names(kind: type[object]) -> tuple[str, ...]:
    return tuple(part.name for part in fields(kind))  # type: ignore[arg-type]


def check_values(value: object, name: str = "") -> None:
    """Raise ValueError if a number is negative or too large, or a text too long, at any depth of a dataclass."""
    if value is None:  # most fields: none of the types below has to be tried
        return
    if isinstance(value, (int, float)):
        _check_range(value, value, name)
    elif isinstance(value, str):
        if len(value) > LONGEST_TEXT:
            raise ValueError(f"{name} has {len(value)} characters")
    elif isinstance(value, dict):
        for item in value.values():  # of several types, in a dialect
            check_values(item, name)
    elif isinstance(value, list):
        _check_items(value, name)
    elif is_dataclass(value) and not isinstance(value, type):
        for part in _field_names(type(value)):
            check_values(getattr(value, part), part)
        _check_special(value)


def _check_items(items: Sequence[Any], name: str) -> None:
    if len(items) > LONGEST_LIST:
        raise ValueError(f"{name} has {len(items)} items")
    if items and isinstance(items[0], float):
        _check_range(min(items), max(items), name)  # a list of numbers holds nothing else
    else:
        for item in items:
            check_values(item, name)


def _check_range(least: float, most: float, name: str) -> None:
    is_amount = name.endswith(AMOUNTS)
    low, high = (0, LARGEST_AMOUNT) if is_amount else (-LARGEST_NUMBER, LARGEST_NUMBER)
    if not low <= least <= most <= high:
        raise ValueError(f"{name} is {least if least < low else most}, not between {low} and {high:g}"[:LONGEST_REASON])


def _check_special(value: object) -> None:
    if isinstance(value, Epoch) and (value.steps < 1 or value.train_s == 0):
        raise ValueError(f"an epoch has {value.steps} steps in {value.train_s} s")
    if isinstance(value, OperatorProfile):
        _check_operators(value)
    if isinstance(value, TrainMeasurements):
        for name in SAMPLES:
            samples = getattr(value, name)
            if samples is not None and min(samples, default=0.0) <= 0:
                raise ValueError(f"{name} has no samples, or one of 0 s")


def _check_operators(profile: OperatorProfile) -> None:
    if profile.steps is not None and profile.steps < 1:
        raise ValueError(f"the profile of operators is of {profile.steps} steps")
    for row in profile.rows:
        if row.calls < 0:
            raise ValueError(f"the operator {row.name} has {row.calls} calls")


def _check_gpu_samples(gpu: GpuSamples) -> None:
    missing = [name for name in GPU_COLUMNS if name not in gpu.samples]
    if missing:
        raise ValueError(f"the GPU samples lack {', '.join(missing)}")
