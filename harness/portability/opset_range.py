"""The opset ladder: the lowest and highest opset that an exporter writes and a runtime runs right, by trying."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import onnx

from crossframe.harness.portability.matrix import Bench
from crossframe.harness.portability.model_file import Subject
from crossframe.harness.portability.variants import Made

OPSETS = range(7, onnx.defs.onnx_opset_version() + 1)  # the neutral writer begins at 7
GOOD = ("pass", "degraded")


def climb(bench: Bench, made: dict[int, Made], runtime: str) -> dict[str, Any]:
    """{lowest, highest, refused}: tried from each end on; refused: opset -> state and reason."""
    written = sorted(opset for opset, each in made.items() if each.reason is None)
    refused: dict[str, str] = {}
    lowest = first_good(bench, made, runtime, written, refused)
    highest = None if lowest is None else first_good(bench, made, runtime, reversed(written), refused)
    return {"lowest": lowest, "highest": highest, "refused": refused}


def first_good(
    bench: Bench, made: dict[int, Made], runtime: str, opsets: Iterable[int], refused: dict[str, str]
) -> int | None:
    for opset in opsets:
        record = bench.cell(narrow(bench, made[opset].subject), runtime)
        if record["state"] in GOOD:
            return opset
        refused[str(opset)] = f"{record['state']} at {record['stage']}: {record['reason']}"[:300]
    return None


def narrow(bench: Bench, subject: Subject) -> Subject:
    """The subject with the smallest batches alone: a ladder has many rungs."""
    reference = subject.reference.narrow()
    feeds = bench.folder / "feeds" / f"{subject.feeds.stem}-narrow.npz"
    feeds = feeds if feeds.exists() else reference.save(feeds)
    return replace(subject, reference=reference, feeds=feeds, targets=None)  # too few to measure quality on


def ladder(bench: Bench, made: dict[int, Made], names: list[str]) -> dict[str, Any]:
    """One exporter and task: the opsets written, why others are not, and the rungs of each runtime."""
    subject = next(iter(made.values())).subject
    ready = [name for name in names if name not in bench.failed]
    return {
        "exporter": subject.exporter,
        "task": subject.name,
        "written": sorted(opset for opset, each in made.items() if each.reason is None),
        "not_written": {str(opset): each.reason[:300] for opset, each in made.items() if each.reason},
        "runtimes": {name: climb(bench, made, name) for name in ready},
    }
