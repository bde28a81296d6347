"""What the page carries within itself: files and data as compressed text, and JSON of scripts."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from markupsafe import Markup

from crossframe.harness.analysis import metrics
from crossframe.harness.analysis.model import RankedComparison
from crossframe.harness.console import csv_text
from crossframe.harness.files import below, write_atomically
from crossframe.harness.records import codec
from crossframe.harness.records.model import CELL_KEYS, Record
from crossframe.harness.worker.states import State

HERE = Path(__file__).parent
FOLDER = "report-files"  # beside the page, for files that would make it too large
MOST_PACKED = 400_000  # characters of a file within the page


@dataclass(frozen=True)
class Download:
    """A file of the page: compressed within it, or at a path beside it."""

    packed: str | None
    path: str | None = None


def provide_download(run: Path, name: str, content: str) -> Download:
    """Return a file as part of the page; write one that is too large beside the page instead."""
    packed = pack(content)
    if len(packed) <= MOST_PACKED:
        return Download(packed)
    write_atomically(below(run, FOLDER, name), content)
    return Download(None, f"{FOLDER}/{name}")


def pack(content: str) -> str:
    """Return text as a base64 gzip file."""
    return base64.b64encode(gzip.compress(content.encode(), 6, mtime=0)).decode()


def pack_comparisons(comparisons: Iterable[RankedComparison]) -> str:
    """Return the comparisons as JSON rows: family, metric, a, b, ratio, low, high, separated, further repeats."""
    families: dict[tuple[str, str, str, int], int] = {}
    rows = []
    for pair in comparisons:
        family = families.setdefault((pair.task, pair.device, pair.precision, pair.batch_size), len(families))
        ratio = [None if value is None else float(f"{value:.5g}") for value in (pair.ratio, pair.low, pair.high)]
        rows.append([family, pair.metric, pair.a, pair.b, *ratio, int(pair.separated), pair.more_runs])
    return json.dumps({"families": list(families), "rows": rows}, separators=(",", ":"))


def write_processes_csv(records: Sequence[Record]) -> str:
    """Return one line per process and one column per metric, with seven digits."""
    rows: list[list[object]] = [[*CELL_KEYS, "repeat", "state", *metrics.METRICS]]
    for record in records:
        keys = [getattr(record.cell, key) for key in CELL_KEYS]
        values = [
            metric.read(record) if record.state == State.OK and metric.select([record]) else None
            for metric in metrics.METRICS.values()
        ]
        texts = ["" if value is None else f"{value:.7g}" for value in values]
        rows.append([*keys, record.repeat, str(record.state), *texts])
    return csv_text(rows)


def script_json(value: object) -> Markup:
    """Return JSON in which no string can end the script element that holds it."""
    return Markup(json.dumps(codec.to_plain(value), separators=(",", ":")).replace("<", "\\u003c"))


@cache
def read_asset(name: str) -> Markup:
    """Return a file of this folder for the page; indentation and comments of the page's own files are left out."""
    text = (HERE / name).read_text()
    return Markup(text if ".min." in name else re.sub(r"^ +|^ *//.*\n", "", text, flags=re.MULTILINE))
