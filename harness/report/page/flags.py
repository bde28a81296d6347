"""Flags of frameworks: what a reader should know about one before choosing it, each with its source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from crossframe.backends import Backend
from crossframe.harness.records.portability import PortabilityState, RuntimeResult
from crossframe.harness.report.answer import shorten_list
from crossframe.harness.report.model import FrameworkProfile, Report
from crossframe.harness.worker.states import State

BROKEN = (PortabilityState.WRONG, PortabilityState.CRASH, PortabilityState.REFUSED, PortabilityState.TIMEOUT)


@dataclass(frozen=True)
class Flag:
    """An issue of a framework."""

    title: str  # of the framework
    short: str
    text: str
    source: str  # with a web address, or the id of a section of the page behind `#`


def list_flags(report: Report, backends: Mapping[str, Backend]) -> list[Flag]:
    """Return the flags of all frameworks of a run; `report` has titles."""
    flags = []
    for profile in report.profiles:
        backend = backends.get(profile.backend)
        results = [result for result in report.portability or [] if result.exporter == profile.title]
        flags += [*flag_maintenance(profile), *flag_defects(profile), *flag_failures(report, profile.title)]
        flags += flag_exports(profile.title, results)
        issues = backend.manifest.known_issues if backend else ()
        flags += [Flag(profile.title, "known issue", issue.text, f"{issue.source}, {issue.date}") for issue in issues]
    return flags


def summarize_flags(flags: Sequence[Flag]) -> dict[str, str]:
    """Return title -> what its flags say, in a few words."""
    words: dict[str, list[str]] = {}
    for flag in flags:
        words.setdefault(flag.title, []).append(flag.short)
    return {
        title: ", ".join(f"{count} x {short}" if count > 1 else short for short, count in Counter(shorts).items())
        for title, shorts in words.items()
    }


def flag_maintenance(profile: FrameworkProfile) -> list[Flag]:
    """Return a flag if the framework is known to be no longer maintained."""
    fact = profile.looked_up.get("maintained")
    if fact is None or fact.value != "no":
        return []
    return [Flag(profile.title, "not maintained", fact.note or "no longer maintained", fact.source)]


def flag_defects(profile: FrameworkProfile) -> list[Flag]:
    """Return a flag for the defects that parity found."""
    defects = profile.measured.defects
    return [Flag(profile.title, "fails parity", shorten_list(defects, "; "), "#problems")] if defects else []


def flag_failures(report: Report, title: str) -> list[Flag]:
    """Return a flag for cells of a framework that did not succeed."""
    failed = [cell for cell in report.cells if cell.backend == title and cell.state != State.OK]
    if not failed:
        return []
    texts = list(dict.fromkeys(f"{cell.task} {cell.mode}: {cell.state}" for cell in failed))
    return [Flag(title, f"{len(failed)} failed cells", shorten_list(texts), "#problems")]


def flag_exports(title: str, results: Sequence[RuntimeResult]) -> list[Flag]:
    """Return a flag for exported files that do not run in a runtime, or are wrong there."""
    states = Counter(str(result.state) for result in results if result.state in BROKEN)
    if not states:
        return []
    short = ", ".join(f"{count} ONNX files {state}" for state, count in states.items())
    runtimes = list(dict.fromkeys(f"{r.task} in {r.runtime}" for r in results if r.state in BROKEN))
    return [Flag(title, short, shorten_list(runtimes), "#onnx")]
