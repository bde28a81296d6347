"""Runs of the catalogue of mistakes: on the probes first, and those that pass them in measured jobs."""

from __future__ import annotations

import json
import os
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import Queue
from threading import Lock

from crossframe.harness.console import say
from crossframe.harness.worker.states import State
from tests.support.mistake_jobs import HONEST, MeasuredJobs
from tests.support.mistake_probes import Finding, check_barrier, find_reference, run_on_probes
from tests.third_party.mistakes.catalogue import MISTAKES

PER_PROCESS = 40  # mistakes on the probes; traces of all of them are in memory
JOBS_PER_PROCESS = 25


@dataclass(frozen=True)
class Group:
    """Mistakes in one framework and task that one process can make."""

    framework: str
    task: str
    precision: str
    mode: str | None
    everywhere: bool
    mistakes: tuple[str, ...]

    @property
    def label(self) -> str:
        """The name of the folder of the group."""
        return "-".join(
            filter(None, (self.framework, self.task, self.precision, self.mode, "everywhere" * self.everywhere))
        )


def make_groups(cases: Iterable[tuple[str, str, str]], size: int) -> list[Group]:
    """Return groups of up to `size` mistakes, from cases (mistake, framework, task)."""
    groups: dict[tuple[str, str, str, str | None, bool], list[str]] = defaultdict(list)
    for mistake, framework, task in cases:
        entry = MISTAKES[mistake]
        groups[framework, task, entry.precision, entry.mode, entry.everywhere].append(mistake)
    return [
        Group(*key, tuple(names[start : start + size]))
        for key, names in groups.items()
        for start in range(0, len(names), size)
    ]


class CatalogueRun:
    """A run of mistakes, as many groups at a time as there are processors to use.

    Findings are kept in the folder after each group, so that a run that was interrupted goes on.
    """

    def __init__(self, folder: Path, cpus: Sequence[int]) -> None:
        self.folder, self.cpus = folder, cpus
        self.kept = folder / "findings.jsonl"
        self.lock = Lock()
        self.free: Queue[int] = Queue()
        for cpu in cpus:
            self.free.put(cpu)
        self.numbers = iter(range(len(list(folder.glob("[0-9]*"))), 10**6))

    def find_all(self, cases: Sequence[tuple[str, str, str]]) -> list[Finding]:
        """Return the finding of each case (mistake, framework, task)."""
        for task in dict.fromkeys(task for _, _, task in cases):
            find_reference(task, self.folder / "references")
        findings = self.read_kept()
        for examine in (self.examine_by_probes(True), self.examine_by_probes(False), self.examine_by_jobs()):
            left = [case for case in cases if findings.get(case, OPEN).caught_by in ("nothing", ERROR)]
            for finding in examine(left):
                findings[finding.mistake, finding.framework, finding.task] = finding
        return [findings[case] for case in cases]

    def read_kept(self) -> dict[tuple[str, str, str], Finding]:
        """Return the findings of an earlier run in this folder that need no further examination."""
        lines = self.kept.read_text().splitlines() if self.kept.exists() else []
        kept = [Finding(**json.loads(line)) for line in lines]
        return {(each.mistake, each.framework, each.task): each for each in kept}

    def keep(self, findings: Sequence[Finding]) -> None:
        """Store the findings that are final: those of mistakes that were caught."""
        final = [finding for finding in findings if finding.caught_by not in ("nothing", ERROR)]
        with self.lock, self.kept.open("a") as file:
            file.writelines(f"{json.dumps(asdict(finding))}\n" for finding in final)

    def examine_by_probes(self, first: bool) -> Callable[[Sequence[tuple[str, str, str]]], list[Finding]]:
        """Return a function that examines cases by the probes that see them best, or by all others."""

        def examine(cases: Sequence[tuple[str, str, str]]) -> list[Finding]:
            seen = [case for case in cases if not MISTAKES[case[0]].alone]
            groups = make_groups(seen, PER_PROCESS)
            return self.run_groups(groups, lambda group, folder, cpu: list(
                run_on_probes(group.framework, group.task, group.mistakes, folder, cpu, first).values()
            ))  # fmt: skip

        return examine

    def examine_by_jobs(self) -> Callable[[Sequence[tuple[str, str, str]]], list[Finding]]:
        """Return a function that examines cases by measured jobs."""

        def examine(cases: Sequence[tuple[str, str, str]]) -> list[Finding]:
            groups = make_groups(cases, JOBS_PER_PROCESS)
            return self.run_groups(groups, run_jobs)

        return examine

    def run_groups(self, groups: Sequence[Group], run: Callable[[Group, Path, int], list[Finding]]) -> list[Finding]:
        """Return the findings of all groups, those of a group that cannot run as an error."""

        def run_one(group: Group) -> list[Finding]:
            cpu, folder = self.free.get(), self.folder / f"{next(self.numbers):03d}-{group.label}"
            try:
                findings = run(group, folder, cpu)
            except Exception as error:  # the other groups go on
                traceback.print_exc()
                reason = f"{type(error).__name__}: {error}"
                findings = [Finding(name, group.framework, group.task, ERROR, reason) for name in group.mistakes]
            finally:
                self.free.put(cpu)
            self.keep(findings)
            caught = sum(finding.caught_by not in ("nothing", ERROR) for finding in findings)
            say(f"{folder.name}: {caught} of {len(findings)} caught")
            return findings

        with ThreadPoolExecutor(len(self.cpus)) as pool:
            return [finding for findings in pool.map(run_one, groups) for finding in findings]


ERROR = "error"  # of the run itself
OPEN = Finding("", "", "", "nothing", None)


def run_jobs(group: Group, folder: Path, cpu: int) -> list[Finding]:
    """Return the findings of measured jobs: in one process, and those that concern a whole process in one each."""
    cpus = sorted(os.sched_getaffinity(0)) if group.everywhere else [cpu]
    jobs = MeasuredJobs(group.framework, group.task, folder, cpus, group.precision)
    alone = [name for name in group.mistakes if MISTAKES[name].alone]
    together = [name for name in group.mistakes if not MISTAKES[name].alone]
    records = jobs.measure([HONEST, *together], alone=False) | jobs.measure(alone, alone=True)
    honest = jobs.measure([HONEST], alone=True)[HONEST] if alone else records[HONEST]
    if honest.state == State.UNSUPPORTED:
        return [Finding(name, group.framework, group.task, "unsupported", honest.reason) for name in group.mistakes]
    if jobs.find(HONEST, honest, honest).caught_by != "nothing":
        raise RuntimeError(f"the honest backend does not pass: {jobs.find(HONEST, honest, honest).reason}")
    findings = [jobs.find(name, records[name], honest) for name in group.mistakes]
    return [
        check_barrier(group.framework, group.task, finding.mistake, folder / f"barrier-{finding.mistake}", cpu)
        if finding.caught_by == "nothing"
        else finding
        for finding in findings
    ]
