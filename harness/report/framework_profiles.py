"""A profile of each framework of a run: measured properties, and looked-up facts with date and source."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from crossframe.backends import Backend
from crossframe.backends.manifest import Fact
from crossframe.harness.analysis.frameworks import (
    count_code_lines,
    describe_unmeasured_modes,
    find_unmeasured_modes,
    list_measured_modes,
)
from crossframe.harness.analysis.model import CellReport
from crossframe.harness.console import markdown_table
from crossframe.harness.records.portability import PortabilityState, RuntimeResult
from crossframe.harness.report.model import FrameworkProfile, LookedUpFact, MeasuredProfile, Share
from crossframe.harness.worker.states import State

UNKNOWN = "unknown"
# Row of the profile -> fact in backend.toml. Guides to frameworks usually compare these facts.
LOOKED_UP = {
    "originator": "originator",
    "ecosystem": "ecosystem",
    "languages": "languages",
    "compiled execution": "compilation",
    "distributed training": "distributed",
    "release rhythm": "release_rhythm",
    "last release": "last_release",
    "API breadth": "api_breadth",
    "community": "community",
    "licence": "licence",
    "maintained": "maintained",
    "mobile and edge": "edge",
    "debugging": "debugging",
}


def build_profiles(
    cells: Sequence[CellReport],
    portability: Sequence[RuntimeResult],
    titles: Mapping[str, str],
    backends: Mapping[str, Backend],
) -> list[FrameworkProfile]:
    """Return a profile for each backend of `titles`; one that is not installed any more has no looked-up facts."""
    profiles = []
    for name, title in titles.items():
        backend = backends.get(name)
        cells_here = [cell for cell in cells if cell.backend == name]
        files = [result for result in portability if result.exporter == name]
        facts = backend.manifest.facts if backend else {}
        profiles.append(
            FrameworkProfile(
                backend=name,
                title=title,
                installed=backend is not None,
                measured=measure_profile(cells_here, files, backend),
                looked_up={row: look_up(facts.get(key)) for row, key in LOOKED_UP.items()},
            )
        )
    return profiles


def measure_profile(
    cells: Sequence[CellReport], files: Sequence[RuntimeResult], backend: Backend | None
) -> MeasuredProfile:
    """Return the measured properties of a backend, from its cells, its exported files and its folder."""
    imports = [value for cell in cells if (value := cell.metrics["import_s"].value)]
    checks = [cell.parity for cell in cells if cell.parity]
    ran = [result.state for result in files if result.state != PortabilityState.NOT_INSTALLED]
    environment_bytes = largest(cells, "environment_bytes")
    return MeasuredProfile(
        environment_bytes=environment_bytes,
        environment_install_s=largest(cells, "environment_install_s"),
        packages=count_packages(backend, cells) if environment_bytes else None,
        import_s=(median(imports), min(imports), max(imports)) if imports else None,
        backend_lines=count_code_lines(backend) if backend else None,
        modes=list_measured_modes(cells),
        modes_not_measured=find_unmeasured_modes(cells, backend) if backend else None,
        exports=share([cell.onnx.state == State.OK for cell in cells if cell.onnx]),
        runtimes=share([state == PortabilityState.PASS for state in ran]),
        dialect={word: value for cell in cells for word, value in cell.dialect.items()},
        verified=share([check.state == State.OK for check in checks]),
        defects=[
            f"{cell.task} {cell.mode}: {cell.parity.reason}"
            for cell in cells
            if cell.parity and cell.parity.state == State.FAILED
        ],
    )


def largest(cells: Iterable[CellReport], metric: str) -> float | None:
    """Return the largest value of a metric; a run on two devices has two environments for each backend."""
    return max((value for cell in cells if (value := cell.metrics[metric].value) is not None), default=None)


def share(results: Sequence[bool]) -> Share | None:
    """Return the number of true results and the number of all; None if there is no result."""
    return Share(sum(results), len(results)) if results else None


def count_packages(backend: Backend | None, cells: Sequence[CellReport]) -> int | None:
    """Return the number of pinned packages of an environment; None if its pins changed since the run."""
    pins = backend.requirements(cells[0].device.partition(":")[0]) if backend else None
    if pins is None or not pins.exists():
        return None
    pairs = (line.split(";")[0].split("#")[0].partition("==") for line in pins.read_text().splitlines())
    pinned = {name.strip(): version.strip() for name, equals, version in pairs if equals}
    versions = {name: version for name, version in cells[0].versions.items() if name in pinned}
    # Not every pin has the local version label of a build, as in 2.1+cpu.
    equal = all(version.partition("+")[0] == pinned[name].partition("+")[0] for name, version in versions.items())
    return len(pinned) if versions and equal else None


def look_up(fact: Fact | None) -> LookedUpFact | None:
    """Return a fact as text; None if it is unknown."""
    if fact is None or fact.value is None:
        return None
    value = {True: "yes", False: "no"}[fact.value] if isinstance(fact.value, bool) else str(fact.value)
    return LookedUpFact(value, str(fact.note or ""), str(fact.date or ""), str(fact.source or ""))


def measured_rows(profile: FrameworkProfile) -> list[tuple[str, str]]:
    """Return (name, text) of the measured properties of a framework."""
    measured = profile.measured
    spread = measured.import_s
    dialect = ", ".join(f"{word} = {value}" for word, value in measured.dialect.items())
    return [
        ("environment on disk", format_quantity(measured.environment_bytes, 1e6, "MB")),
        ("time to install it", format_quantity(measured.environment_install_s, 1, "s")),
        ("packages in it", UNKNOWN if measured.packages is None else f"{measured.packages} pinned"),
        ("import", f"{spread[0]:.2f} s ({spread[1]:.2f} to {spread[2]:.2f} by cell)" if spread else UNKNOWN),
        ("code of its backend", UNKNOWN if measured.backend_lines is None else f"{measured.backend_lines} lines"),
        ("modes measured", ", ".join(measured.modes) or "none"),
        ("modes not measured", describe_other_modes(measured.modes_not_measured)),
        ("successful ONNX exports", format_share(measured.exports, "none was tried")),
        ("files that pass in runtimes", format_share(measured.runtimes, "not checked: crossframe portability")),
        ("dialect", dialect or ("none" if measured.modes and spread else UNKNOWN)),
        ("verified equal", format_share(measured.verified, "not checked")),
        ("defects found by parity", "; ".join(measured.defects) or ("none" if measured.verified else "not checked")),
    ]


def describe_other_modes(modes: Mapping[str, str | None] | None) -> str:
    """Return the existing modes that were not measured; unknown for a backend that is not installed any more."""
    return UNKNOWN if modes is None else describe_unmeasured_modes(modes) or "none"


def describe_modes(profile: FrameworkProfile) -> str:
    """Return which modes of a framework the run measured, and which exist beside them."""
    measured = ", ".join(profile.measured.modes) or "none"
    modes = profile.measured.modes_not_measured
    if modes is None:
        rest = "whether there are others is unknown, since its backend is not installed any more"
    else:
        rest = f"not measured: {describe_unmeasured_modes(modes)}" if modes else "there are no others"
    return f"modes of {profile.title}: {measured} measured; {rest}"


def format_quantity(value: float | None, divisor: float, unit: str) -> str:
    return UNKNOWN if value is None else f"{value / divisor:,.0f} {unit}"


def format_share(part: Share | None, nothing: str) -> str:
    return f"{part.count} of {part.total}" if part else nothing


def format_fact(fact: LookedUpFact | None) -> str:
    """Return a looked-up fact with its note."""
    if fact is None:
        return UNKNOWN
    return f"{fact.value}: {fact.note}" if fact.note else fact.value


def markdown_profiles(profiles: Sequence[FrameworkProfile]) -> list[str]:
    """Return the lines of a Markdown table with one column per framework, facts with date and source; [] for none."""
    if not profiles:
        return []
    columns = [dict(measured_rows(profile)) for profile in profiles]
    rows = [[name, *(column[name] for column in columns)] for name in columns[0]]
    for name in LOOKED_UP:
        facts = [profile.looked_up[name] for profile in profiles]
        origins = [f" (looked up {fact.date}, {fact.source})" if fact else "" for fact in facts]
        rows.append([name, *(format_fact(fact) + origin for fact, origin in zip(facts, origins))])
    return ["", "## Frameworks", "", *markdown_table(["", *(profile.title for profile in profiles)], rows)]
