"""The warnings about a run: disturbances of the machine and of its GPU while jobs ran."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from crossframe.harness.analysis import gpu_warnings
from crossframe.harness.analysis.readers import read_utilization
from crossframe.harness.records.model import Host, Interference, Record

# Id -> (counter, threshold, text of the worst job).
SIGNS: dict[str, tuple[Callable[[Interference], float | None], float, Callable[[float], str]]] = {
    "W-OTHERS": (
        lambda machine: machine.other_programs_share,
        0.05,
        lambda worst: f"other programs used up to {worst:.0%} of the processors",
    ),
    "W-STEAL": (
        lambda machine: machine.steal_share,
        0.02,
        lambda worst: f"other guests of this host took up to {worst:.0%} of the time",
    ),
    "W-SWAP": (
        lambda machine: machine.swapped_pages,
        0,
        lambda worst: f"memory was short: up to {worst:,.0f} pages were swapped",
    ),
    "W-THERMAL": (
        lambda machine: machine.throttlings,
        0,
        lambda worst: f"hot cores were throttled up to {worst:.0f} times",
    ),
}

HIDDEN_BYTES = 8e6  # more than the samples of one process differ from its own report


def find_hidden_memory(records: Sequence[Record]) -> list[str]:
    """Return a warning where the processes of a job held more memory than its worker reports."""
    hidden = [
        (processes.total_peak_bytes - processes.claimed_peak_bytes, record.cell.variant, processes.processes)
        for record in records
        if (processes := record.processes) is not None
        and processes.total_peak_bytes is not None
        and processes.claimed_peak_bytes is not None
        and processes.total_peak_bytes - processes.claimed_peak_bytes > HIDDEN_BYTES
    ]
    if not hidden:
        return []
    most, variant, count = max(hidden)
    cause = f"{count} processes" if count > 1 else "a worker that set its own peak back"
    return [
        f"W-MEMORY: in {len(hidden)} of {len(records)} jobs more memory was held than the worker reports, "
        f"up to {most / 1e6:.0f} MB in {variant} by {cause}; it is counted"
    ]


def warnings(records: Sequence[Record], host: Host) -> list[str]:
    """Return `ID: text` for each kind of disturbance of this machine while the jobs ran."""
    machines = [record.machine for record in records if record.machine is not None]
    lines = gpu_warnings.find_warnings(records) + find_hidden_memory(records)
    for name, (read, threshold, describe) in SIGNS.items():
        values = [value for machine in machines if (value := read(machine) or 0) > threshold]
        if values:
            lines.append(f"{name}: during {len(values)} of {len(machines)} jobs {describe(max(values))}")
    lines += _warn_of_speed(records)
    if host.governor not in (None, "performance"):
        lines.append(f"W-FREQUENCY: the governor of the processors' frequency is {host.governor!r}, not 'performance'")
    return lines


def _warn_of_speed(records: Sequence[Record]) -> list[str]:
    """Return a line if jobs did more operations per second than the measured ceiling of the device."""
    read = read_utilization("step_flops", "ceiling_flops_per_s")
    ratios = {record.cell: ratio for record in records if (ratio := read(record) or 0) > 1}
    if not ratios:
        return []
    fastest = max(ratios, key=lambda cell: ratios[cell])
    return [
        f"W-CEILING: {len(ratios)} cells did more operations per second than the measured ceiling of the device, up to "
        f"{ratios[fastest]:.1f} times ({fastest.task} {fastest.variant}): other programs ran while it was measured, or "
        "the times are wrong"
    ]
