"""What is known about the frameworks of a run beside its records: titles, existing modes, lines of code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from crossframe.backends import Backend
from crossframe.harness.analysis.model import CellReport
from crossframe.harness.records.model import BackendInfo
from crossframe.harness.worker.states import State


def resolve_titles(backends: Mapping[str, BackendInfo], names: Iterable[str]) -> dict[str, str]:
    """Return the title of each named backend; with its name in parentheses where two backends share a title."""
    titles = {name: backends[name].title if name in backends else name for name in dict.fromkeys(names)}
    count = Counter(titles.values())
    return {name: title if count[title] == 1 else f"{title} ({name})" for name, title in titles.items()}


def count_code_lines(backend: Backend) -> int:
    """Return the number of lines in the folder of a backend that are neither empty nor comments."""
    lines = (line.strip() for file in sorted(backend.folder.glob("*.py")) for line in file.read_text().splitlines())
    return sum(bool(line) and not line.startswith("#") for line in lines)


def list_measured_modes(cells: Iterable[CellReport]) -> list[str]:
    """Return the modes in which any of the cells of a backend succeeded."""
    return sorted({cell.mode for cell in cells if cell.state == State.OK})


def find_unmeasured_modes(cells: Sequence[CellReport], backend: Backend) -> dict[str, str | None]:
    """Return the modes of a backend in which none of its cells succeeded, each with the reason.

    The reason is None for a mode that could have run, but was not asked for.
    """
    measured = list_measured_modes(cells)
    reasons = {cell.mode: str(cell.state) for cell in cells if cell.state != State.OK}
    kinds = {cell.device.partition(":")[0] for cell in cells}
    refused = {
        entry.mode: f"can't run on {entry.device}: {entry.reason}"
        for entry in backend.manifest.unsupported
        if entry.layer is None and kinds == {entry.device}
    }
    return {mode: reasons.get(mode) or refused.get(mode) for mode in backend.manifest.modes if mode not in measured}


def describe_unmeasured_modes(modes: Mapping[str, str | None]) -> str:
    """Return the modes that could have run, then those that could not with their reasons: `xla; eager (...)`."""
    able = [mode for mode, reason in modes.items() if reason is None]
    unable = [f"{mode} ({reason})" for mode, reason in modes.items() if reason is not None]
    return "; ".join([*([", ".join(able)] if able else []), *unable])
