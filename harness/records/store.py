"""The files of a run: `run.json`, `records.jsonl`, `ceilings.json` and `portability.json`.

A job appends one line to `records.jsonl` when it ends.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from crossframe.harness.console import say
from crossframe.harness.errors import UsageError
from crossframe.harness.files import write_atomically
from crossframe.harness.records import version1
from crossframe.harness.records.checks import check_record
from crossframe.harness.records.codec import from_json, from_plain, to_json, to_plain
from crossframe.harness.records.model import SCHEMA_VERSION, CeilingResult, Record, RunInfo
from crossframe.harness.records.portability import PortabilityReport, RuntimeResult


class NoRunError(UsageError):
    """The folder is not the folder of a run; the message names the missing file."""


def append(run: Path, record: Record) -> None:
    """Add one record to `records.jsonl`. ValueError if it does not fit the schema."""
    try:
        check_record(from_plain(to_plain(record), Record))
    except ValueError as error:
        raise ValueError(f"record of {record.job}: {error}") from None
    path = run / "records.jsonl"
    with path.open("a+b") as file:
        # After a crash the last line may be incomplete; a new record needs a line of its own.
        if file.tell() and not _ends_in_newline(path):
            file.write(b"\n")
        file.write(to_json(record).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _ends_in_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def read(run: Path) -> tuple[list[Record], list[str]]:
    """Return the records of a run, and one warning for each damaged line, which is left out.

    The last record of a job counts. NoRunError if the folder is not the folder of a run.
    """
    path = run / "records.jsonl"
    if not (run / "run.json").exists() and not path.exists():
        raise NoRunError(f"{run} is not a run: it has neither run.json nor records.jsonl; `crossframe run` makes one")
    records: dict[str, Record] = {}
    warnings = []
    for number, line in enumerate(path.read_bytes().splitlines() if path.exists() else [], start=1):
        try:
            record = _decode_record(line)
        except ValueError as error:
            warnings.append(f"{path}, line {number} is damaged and left out: {str(error)[:160]}")
            continue
        records[record.job] = record
    return list(records.values()), warnings


def _decode_record(line: bytes) -> Record:
    try:
        record = from_json(line, Record)
    except ValueError:
        stored = json.loads(line)
        if not isinstance(stored, dict) or stored.get("schema") != version1.VERSION:
            raise
        record = version1.convert_record(stored)
    check_record(record)
    return record


def read_with_warnings(run: Path) -> list[Record]:
    """Return the records of a run, and print a warning to stderr for each damaged line."""
    records, warnings = read(run)
    for warning in warnings:
        say(f"warning: {warning}")
    return records


def read_run(run: Path) -> RunInfo:
    """Return `run.json`. NoRunError if it is missing or damaged."""
    path = run / "run.json"
    try:
        stored = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise NoRunError(f"{run} is not a run: it has no run.json; `crossframe run` makes one") from None
    except ValueError as error:
        raise NoRunError(f"{path} is damaged: {error}") from None
    schema = stored.get("schema") if isinstance(stored, dict) else None
    if schema not in (version1.VERSION, SCHEMA_VERSION):
        raise NoRunError(f"{path} is of another version of Crossframe: run again with this one")
    try:
        return version1.convert_run(stored) if schema == version1.VERSION else from_plain(stored, RunInfo)
    except ValueError as error:
        raise NoRunError(f"{path} is damaged: {error}") from None


def write_run(run: Path, info: RunInfo) -> None:
    """Write `run.json`."""
    write_atomically(run / "run.json", to_json(info, indent=1) + "\n")


def read_ceilings(run: Path) -> list[CeilingResult]:
    """Return the entries of `ceilings.json`, [] if there is no such file. ValueError if it is damaged."""
    path = run / "ceilings.json"
    if not path.exists():
        return []
    stored = json.loads(path.read_bytes())
    if stored.get("schema", version1.VERSION) == version1.VERSION:
        return version1.convert_ceilings(stored)
    return from_plain(stored["measured"], list[CeilingResult])


def write_ceilings(run: Path, measured: list[CeilingResult]) -> None:
    """Write `ceilings.json`."""
    plain = {"schema": SCHEMA_VERSION, "measured": to_plain(measured)}
    write_atomically(run / "ceilings.json", json.dumps(plain, indent=1) + "\n")


def read_portability(run: Path) -> tuple[list[RuntimeResult] | None, list[str]]:
    """Return the results of `crossframe portability` and warnings; None if it was not run or its file is damaged."""
    path = run / "portability.json"
    try:
        stored = json.loads(path.read_bytes())
        if isinstance(stored, dict) and stored.get("schema") == version1.VERSION:
            return version1.convert_portability(stored), []
        return from_plain(stored, PortabilityReport).results, []
    except FileNotFoundError:
        return None, []
    except ValueError as error:
        return None, [f"{path} is damaged and left out: {error}"]
