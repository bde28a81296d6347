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


def warnings(records: Sequence[Record], host: Host) -> list[str]:
    """Return `ID: text` for each kind of disturbance of this machine while the jobs ran."""
    machines = [record.machine for record in records if record.machine is not None]
    lines = gpu_warnings.find_warnings(records)
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
