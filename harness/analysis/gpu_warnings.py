"""Reasons to doubt the metrics of a GPU: other programs, throttling, unexplained memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from crossframe.harness.analysis.gpu import (
    read_column,
    read_context_bytes,
    read_memory_peak_bytes,
    read_unexplained_bytes,
    select_samples,
    timed_spans,
)
from crossframe.harness.analysis.labels import cell_labels
from crossframe.harness.launch.gpu_sampler import BUSY
from crossframe.harness.records.model import GpuSamples, Record

# Libraries that training loads add to a context. An estimate, to be compared with the first run on a GPU.
UNEXPLAINED_MB = 500
IN_USE_MB = 1000  # of an idle GPU, where only the driver's own memory should be in use; also an estimate

# Bit of "throttle" -> the cause of a lower clock. The other bits are harmless: an idle GPU, a setting.
THROTTLES = {
    0x04: "its power limit",
    0x08: "a slowdown of the hardware",
    0x20: "its heat (the driver)",
    0x40: "its heat (the hardware)",
    0x80: "the power supply's brake",
}
# (value of a job, threshold, text of the worst job) for other programs on the GPU.
OTHER_PROGRAMS: tuple[tuple[Callable[[GpuSamples], float], float, str], ...] = (
    (lambda gpu: gpu.other_processes, 0, "up to {} processes of other programs computed on the GPU"),
    (
        lambda gpu: read_first(gpu, "memory_bytes") / 1e6,
        IN_USE_MB,
        "up to {:,.0f} MB of the GPU were in use beforehand",
    ),
    (lambda gpu: read_first(gpu, "utilisation"), BUSY, "the GPU was busy up to {:.0%} of the time beforehand"),
)


def read_first(gpu: GpuSamples, name: str) -> float:
    """Return the value of a column before the job started; 0 if the driver does not report it."""
    return next(iter(gpu.samples[name]), None) or 0.0


def describe_memory(records: Iterable[Record]) -> str | None:
    """Return the two peaks of the GPU's memory and their difference, for the process with the largest difference.

    None if no process was sampled.
    """
    sampled = [record for record in records if read_memory_peak_bytes(record) is not None]
    if not sampled:
        return None
    worst = max(sampled, key=lambda record: abs(read_unexplained_bytes(record) or 0))
    subject = f" in the process (of {len(sampled)}) with the most unexplained memory" if len(sampled) > 1 else ""
    rise, context, rest = read_memory_peak_bytes(worst), read_context_bytes(worst), read_unexplained_bytes(worst)
    peak, reserved = worst.measurements.device_peak_bytes, worst.measurements.device_reserved_bytes
    allocated = "does not report its peak" if peak is None else f"had {_megabytes(peak)} allocated at most"
    text = f"the used memory of the GPU rose by {_megabytes(rise)} (NVML){subject}"
    if rest is not None:
        parts = f"{_megabytes(context)} context, {_megabytes(reserved)} reserved by the allocator, which {allocated}"
        missing = f"less {_megabytes(-rest)}, since a sample missed the peak or other programs freed memory"
        return f"{text}: {parts}, {missing if rest < 0 else f'and {_megabytes(rest)} unexplained'}"
    before = f", by {_megabytes(context)} before training" if context is not None else ""
    reason = "it does not report its reserve" if reserved is None else "there is no sample from just before training"
    return f"{text}{before}; the allocator {allocated}; {reason}, so the two peaks can't be compared"


def _megabytes(size: float | None) -> str:
    return f"{(size or 0) / 1e6:,.0f} MB"


def throttled_share(mask: np.ndarray, bit: int) -> float:
    """Return the share of samples in which one cause lowered the clock; 0 if there are no samples."""
    return float(np.mean(mask & bit > 0)) if len(mask) else 0.0


def find_caveats(gpu: GpuSamples | None) -> list[str]:
    """Return the reasons to doubt values that were measured at any time during one job."""
    if gpu is None:
        return []
    mask = read_column(gpu, "throttle")[:, 1].astype(int)
    caveats = [
        f"the clock of the GPU was lowered by {cause}" for bit, cause in THROTTLES.items() if throttled_share(mask, bit)
    ]
    return caveats + [text.format(read(gpu)) for read, threshold, text in OTHER_PROGRAMS if read(gpu) > threshold]


def find_warnings(records: Sequence[Record]) -> list[str]:
    """Return `ID: text` for each reason to doubt the metrics of a GPU, with the cell of the worst job."""
    sampled = [(record, record.gpu) for record in records if record.gpu is not None]
    names = [" ".join(label) for label in cell_labels([record.cell for record, _ in sampled])]
    lines = []
    for name, values, threshold, text in _list_signs(sampled):
        above = [value for value in values if value > threshold]
        if above:
            worst = names[values.index(max(above))]
            lines.append(
                f"{name}: in {len(above)} of {len(sampled)} jobs {text.format(max(above))}, at worst in {worst}"
            )
    caveats = dict.fromkeys(
        caveat for record, _ in sampled if record.roofline is not None for caveat in record.roofline.caveats
    )
    return lines + [f"W-GPU-CEILING: while the ceiling was measured, {caveat}" for caveat in caveats]


def _list_signs(sampled: Sequence[tuple[Record, GpuSamples]]) -> list[tuple[str, list[float], float, str]]:
    """Return (id, value of each job, threshold, text of the worst job) of every sign."""
    masks = [select_samples(record, "throttle", timed_spans(record)).astype(int) for record, _ in sampled]
    rests = [abs(read_unexplained_bytes(record) or 0) / 1e6 for record, _ in sampled]
    memory = f"{{:,.0f}} MB of the GPU are neither context nor the allocator's, more than {UNEXPLAINED_MB} MB"
    return [
        *(
            ("W-GPU-OTHERS", [read(gpu) for _, gpu in sampled], threshold, text)
            for read, threshold, text in OTHER_PROGRAMS
        ),
        *(
            (
                "W-GPU-THROTTLED",
                [throttled_share(mask, bit) for mask in masks],
                0.0,
                f"the clock of the GPU was lowered by {cause} for {{:.0%}} of the samples",
            )
            for bit, cause in THROTTLES.items()
        ),
        ("W-GPU-MEMORY", rests, UNEXPLAINED_MB, memory),
    ]
