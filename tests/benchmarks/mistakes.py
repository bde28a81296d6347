"""The catalogue of mistakes against the gate: `python -m tests.benchmarks.mistakes`.

Makes each mistake of `tests/third_party/mistakes` in each framework and task in which it changes the result, and prints
a table of what caught it: a probe of parity, a check of the measured job, a meter, or nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from crossframe.harness.files import write_atomically
from tests.support.mistake_probes import Finding
from tests.support.mistake_runs import CatalogueRun
from tests.third_party.mistakes.catalogue import CLASSES, CONTROLS, MISTAKES
from tests.third_party.mistakes.frameworks import FRAMEWORKS

SAMPLE = 5  # every so many-th mistake of a class, in its first task only
CAUGHT = ("probe", "job check", "meter")


def list_cases(frameworks: Sequence[str], classes: Sequence[str], sample: bool) -> list[tuple[str, str, str]]:
    """Return the cases (mistake, framework, task)."""
    cases = []
    for name in classes:
        for number, (mistake, entry) in enumerate(CLASSES[name].items()):
            if sample and number % SAMPLE:
                continue
            tasks = entry.tasks[:1] if sample else entry.tasks
            cases += [(mistake, each, task) for each in frameworks if each in entry.frameworks for task in tasks]
    return cases


def summarize(findings: Sequence[Finding]) -> str:
    """Return what caught a mistake in one framework, over all tasks."""
    kinds = Counter(finding.caught_by for finding in findings)
    if not kinds:
        return "-"
    missed = [finding.task for finding in findings if finding.caught_by == "nothing"]
    caught = ", ".join(kind for kind in (*CAUGHT, "no gain", "unsupported", "error") if kinds[kind])
    return caught if not missed else f"**nothing** ({', '.join(missed)})" + (f", else {caught}" if caught else "")


def format_markdown(findings: Sequence[Finding], seconds: float) -> str:
    """Return the table mistake x framework x caught by, the counts, and what gets through."""
    frameworks = [name for name in FRAMEWORKS if any(finding.framework == name for finding in findings)]
    counts = Counter(finding.caught_by for finding in findings)
    lines = [f"{len(findings)} cases of {len({f.mistake for f in findings})} mistakes in {seconds / 60:.0f} min: "]
    lines[0] += ", ".join(f"{count} {kind}" for kind, count in counts.most_common())
    lines += ["", f"| mistake | what it is | {' | '.join(frameworks)} |", f"|---|---|{'---|' * len(frameworks)}"]
    for mistake in dict.fromkeys(finding.mistake for finding in findings):
        rows = [[f for f in findings if (f.mistake, f.framework) == (mistake, name)] for name in frameworks]
        lines.append(f"| {mistake} | {MISTAKES[mistake].sentence} | {' | '.join(map(summarize, rows))} |")
    lines += ["", "| class | mistakes | cases | probe | job check | meter | nothing | other |", f"|{'---|' * 8}"]
    for name, table in CLASSES.items():
        of_class = [finding for finding in findings if finding.mistake in table]
        kinds = Counter(finding.caught_by for finding in of_class)
        known = [kinds[kind] for kind in (*CAUGHT, "nothing")]
        numbers = [len({f.mistake for f in of_class}), len(of_class), *known, len(of_class) - sum(known)]
        lines.append(f"| {name} | {' | '.join(map(str, numbers))} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run the catalogue, or a part of it, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--framework", action="append", choices=FRAMEWORKS, help="default: all")
    parser.add_argument("--class", dest="classes", action="append", choices=list(CLASSES), help="default: all")
    parser.add_argument("--mistake", action="append", choices=list(MISTAKES), help="these only")
    parser.add_argument("--task", action="append", help="these only")
    parser.add_argument("--sample", action="store_true", help=f"every {SAMPLE}th mistake of a class, in one task")
    parser.add_argument("--out", type=Path, help="folder for mistakes.md, mistakes.json and all jobs")
    arguments = parser.parse_args()
    folder = (arguments.out or Path(tempfile.mkdtemp(prefix="crossframe-mistakes-"))).resolve()
    cases = list_cases(arguments.framework or FRAMEWORKS, arguments.classes or list(CLASSES), arguments.sample)
    if arguments.mistake:
        cases = [case for case in cases if case[0] in arguments.mistake]
    if arguments.task:
        cases = [case for case in cases if case[2] in arguments.task]
    begin = time.monotonic()
    run = CatalogueRun(folder / "jobs", sorted(os.sched_getaffinity(0)))
    frameworks = dict.fromkeys(framework for _, framework, _ in cases)
    for finding in run.find_all([(name, each, "circle") for name in CONTROLS for each in frameworks]):
        if finding.caught_by != "nothing":
            raise SystemExit(f"false alarm: {finding.mistake} in {finding.framework}: {finding.reason}")
    findings = run.find_all(cases)
    table = format_markdown(findings, time.monotonic() - begin)
    write_atomically(folder / "mistakes.md", table)
    write_atomically(folder / "mistakes.json", json.dumps([asdict(finding) for finding in findings], indent=1))
    print(table)
    print(f"{folder}/mistakes.json")


if __name__ == "__main__":
    main()
