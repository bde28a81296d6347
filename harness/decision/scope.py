"""What a decision does not rest on: the modes, devices, sizes and questions that its run did not measure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from crossframe.backends import Backend
from crossframe.harness.analysis.frameworks import describe_unmeasured_modes, find_unmeasured_modes
from crossframe.harness.analysis.model import CellReport
from crossframe.harness.records import store
from crossframe.harness.records.model import RunInfo

KINDS = {"cuda": "GPUs", "cpu": "CPUs"}
NEVER_MEASURED = (
    "other machines",
    "training on several devices, except for the looked-up fact",
    "phones and small devices, except for the looked-up fact",
    "the experience of your team, and the work of changing the framework",
    "differences in quality: candidates are verified to compute the same",
)


def find_not_measured(
    run: Path, info: RunInfo, cells: Sequence[CellReport], backends: Mapping[str, Backend], titles: Mapping[str, str]
) -> Iterator[str]:
    """Yield what the run did not measure, of which the first parts could have been: modes, devices, sizes, runtimes."""
    for name, title in titles.items():
        members = [cell for cell in cells if cell.backend == name]
        modes = find_unmeasured_modes(members, backends[name]) if name in backends else {}
        if modes:
            yield f"modes of {title}: {describe_unmeasured_modes(modes)}"
    kinds = {cell.device.partition(":")[0] for cell in cells}
    for kind, text in KINDS.items():
        if kind not in kinds:
            yield f"{text}: every cell ran on {', '.join(sorted(kinds)) or 'no device'}"
    yield from _list_sizes(info, cells)
    if store.read_portability(run)[0] is None:
        yield "exported files in other runtimes: `crossframe portability` was not run"
    if info.selftest is None:
        yield "the smallest difference that this machine can show: `crossframe selftest` was not run"
    yield from NEVER_MEASURED


def _list_sizes(info: RunInfo, cells: Sequence[CellReport]) -> Iterator[str]:
    """Yield the limits of the measured tasks, batch sizes and precisions."""
    sizes = {name: info.tasks[name].parameters for name in sorted({cell.task for cell in cells}) if name in info.tasks}
    if sizes:
        tasks = ", ".join(f"{name} ({parameters:,} parameters)" for name, parameters in sizes.items())
        yield f"tasks other than {tasks}, and larger networks"
    for part, text in (("batch_size", "batch sizes"), ("precision", "precisions")):
        values = sorted({getattr(cell, part) for cell in cells})
        if values:
            yield f"{text} other than {', '.join(map(str, values))}"
