"""The records of a run: JSON lines, one a job, appended as each job ends; and `run.json`, which says what was asked."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import fastjsonschema

from crossframe.harness.console import say
from crossframe.harness.errors import Usage

SCHEMA_VERSION = 1
STATES = ("ok", "failed", "timeout", "out_of_memory", "diverged", "unsupported", "not_installed", "skipped")
CELL_KEYS = ("task", "backend", "mode", "device", "precision", "batch_size")


LATER_OPTIONS: dict[str, Any] = {
    "budget_s": None,
    "seeds": 1,
    "profile": False,
    "scale": [],
}  # which the first runs did not have


class NoRun(Usage):
    """The folder is not that of a run; the message says what is missing."""


@cache
def validator(name: str) -> Callable[[Any], Any]:
    """The check of one of our published schemas, `record` or `report`, as compiled code: a page may read thousands."""
    return fastjsonschema.compile(json.loads((Path(__file__).parent / "schemas" / f"{name}.json").read_text()))


def append(run: Path, record: dict[str, Any]) -> None:
    """Add one record; ValueError where it does not keep to the schema."""
    try:
        validator("record")(record)
    except fastjsonschema.JsonSchemaValueException as error:
        raise ValueError(f"record of {record.get('job')}: {error.message}") from None
    path = run / "records.jsonl"
    with path.open("a+b") as file:
        # A line that a crash cut short must not swallow the next one.
        if file.tell() and not ends_in_newline(path):
            file.write(b"\n")
        file.write(json.dumps(record).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def ends_in_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def read(run: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """(the records, one warning for each line that is damaged and left out). The last record of a job counts."""
    path = run / "records.jsonl"
    if not (run / "run.json").exists() and not path.exists():
        raise NoRun(f"{run} is not a run: it has neither run.json nor records.jsonl; `crossframe run` makes one")
    records: dict[str, dict[str, Any]] = {}
    warnings = []
    for number, line in enumerate(path.read_bytes().splitlines() if path.exists() else [], start=1):
        try:
            record = json.loads(line)
            validator("record")(record)
        except ValueError as error:  # of JSON, or of the schema
            warnings.append(f"{path}, line {number} is damaged and left out: {str(error)[:160]}")
            continue
        records[record["job"]] = record
    return list(records.values()), warnings


def read_run(run: Path) -> dict[str, Any]:
    """`run.json`; NoRun where it is missing or damaged."""
    path = run / "run.json"
    try:
        told = json.loads(path.read_text())
    except FileNotFoundError:
        raise NoRun(f"{run} is not a run: it has no run.json; `crossframe run` makes one") from None
    except ValueError as error:
        raise NoRun(f"{path} is damaged: {error}") from None
    if not isinstance(told, dict) or told.get("schema") != SCHEMA_VERSION:
        raise NoRun(f"{path} is of another version of Crossframe: run again with this one")
    return told


def read_portability(run: Path) -> tuple[list[dict[str, Any]] | None, list[str]]:
    """(the cells that `crossframe portability` left, warnings); None where it was not asked."""
    path = run / "portability.json"
    try:
        return json.loads(path.read_text())["cells"], []
    except FileNotFoundError:
        return None, []
    except (ValueError, KeyError, TypeError) as error:
        return None, [f"{path} is damaged and left out: {error}"]


def read_with_warnings(run: Path) -> list[dict[str, Any]]:
    """The records; what is damaged is named on stderr."""
    records, warnings = read(run)
    for warning in warnings:
        say(f"warning: {warning}")
    return records
