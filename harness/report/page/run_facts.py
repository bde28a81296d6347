"""The facts about a run on the first screen: machine, versions, measured modes, and how sure the results are."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from crossframe.backends import Backend
from crossframe.harness.analysis.model import CellReport
from crossframe.harness.report.answer import join_names
from crossframe.harness.report.model import FASTEST_MODES, FrameworkProfile, Report
from crossframe.harness.report.titles import map_titles

# As `summarize` of the self-test writes it, in this and in older versions.
SELFTEST = re.compile(r"of (\d+) equal pairs (\d+) were called different; of (\d+) slowed down by (\S+), (\d+) were")
SMALLEST = re.compile(r"slowdown\D* is about (\d[\d.]*%)|lets be seen is about (\d[\d.]*%)")


@dataclass(frozen=True)
class RunFact:
    """One fact, and the id of the element that says more; empty if there is none."""

    name: str
    text: str
    anchor: str = ""


@dataclass(frozen=True)
class ModeFact:
    """The measured modes of a framework, and those that could have run but were not measured."""

    title: str
    measured: list[str]
    not_measured: list[str]

    def __str__(self) -> str:
        rest = f" (not measured: {', '.join(self.not_measured)})" if self.not_measured else ""
        return f"{self.title} {', '.join(self.measured) or 'none'}{rest}"


def describe_modes(report: Report) -> str:
    """Return the modes that were measured, and how they were chosen if a trial did that."""
    modes = "; ".join(map(str, list_modes(report.profiles)))
    return f"{modes}; {FASTEST_MODES}" if report.run.best_modes else modes


def list_facts(report: Report, backends: Mapping[str, Backend], warning_count: int) -> list[RunFact]:
    """Return the facts of the first screen. `report` has the names of backends, not titles."""
    run, cells = report.run, report.cells
    several = f"{run.repeats} processes per cell, 95 % intervals over processes"
    processes = several if run.repeats > 1 else "one process per cell, so there are no intervals"
    settings = [run.created[:16].replace("T", " ") + " UTC", f"preset {run.preset}", *list_settings(cells)]
    settings.append(f"{run.threads} thread{'' if run.threads == 1 else 's'}")
    facts = [
        RunFact("Machine", describe_machine(report), "environment"),
        RunFact("Versions", describe_versions(report, backends), "environment"),
        RunFact("Modes", describe_modes(report), "profiles"),
        RunFact("How sure", f"{processes}; {describe_selftest(report.selftest)}"),
        RunFact("Run", ", ".join(settings)),
    ]
    if warning_count:
        plural = "" if warning_count == 1 else "s"
        facts.append(RunFact("Warnings", f"{warning_count} warning{plural} about this run", "notices"))
    return [fact for fact in facts if fact.text]


def describe_machine(report: Report) -> str:
    """Return the processor, the memory, the GPUs and the system."""
    host = report.host
    processors = f"{len(host.affinity)} of {host.processors} processors" if host.processors else None
    memory = f"{host.memory_bytes / 1e9:.0f} GB" if host.memory_bytes else None
    gpus = [gpu.name for gpu in host.gpus]
    return ", ".join(filter(None, [host.cpu or "unknown processor", processors, memory, *gpus, host.system]))


def describe_versions(report: Report, backends: Mapping[str, Backend]) -> str:
    """Return the version of each framework: that of its first package."""
    titles = map_titles(report)
    texts: dict[str, dict[str, None]] = {}
    for cell in report.cells:
        backend = backends.get(cell.backend)
        names = [name for name in (backend.manifest.packages if backend else ()) if name in cell.versions]
        names += [name for name in cell.versions if cell.backend in name]
        if names:
            texts.setdefault(titles[cell.backend], {})[cell.versions[names[0]]] = None
    return ", ".join(f"{title} {' and '.join(versions)}" for title, versions in texts.items())


def list_modes(profiles: Sequence[FrameworkProfile]) -> list[ModeFact]:
    """Return the measured modes of each framework, and those that its device can run but were not measured."""
    return [
        ModeFact(
            profile.title,
            profile.measured.modes,
            [mode for mode, reason in (profile.measured.modes_not_measured or {}).items() if reason is None],
        )
        for profile in profiles
    ]


def list_settings(cells: Sequence[CellReport]) -> list[str]:
    """Return devices, precisions and batch sizes; the first and the last where there are many."""
    texts: list[str] = []
    if not cells:
        return texts
    for name, label in (("device", ""), ("precision", ""), ("batch_size", "batch ")):
        values = list(dict.fromkeys(str(getattr(cell, name)) for cell in cells))
        texts.append(label + (join_names(values) if len(values) <= 4 else f"{values[0]} to {values[-1]}"))
    return texts


def describe_selftest(selftest: str | None) -> str:
    """Return what the self-test says about the differences that are found on this machine."""
    if selftest is None:
        return "resolution of this machine unknown: run crossframe selftest"
    smallest = SMALLEST.search(selftest)
    if has_failed(selftest) or not smallest:
        return "self-test: see below"
    return f"differences from about {smallest[1] or smallest[2]} on are found (self-test passed)"


def has_failed(selftest: str) -> bool:
    """Return whether a self-test called equal pairs different, or missed a known difference."""
    counts = SELFTEST.search(selftest)
    if counts is None:
        return "FAILED" in selftest
    return int(counts[2]) > 0 or int(counts[5]) < int(counts[3])
