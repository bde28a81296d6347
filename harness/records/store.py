"""The files of a run: `run.json`, `records.jsonl`, `ceilings.json` and `portability.json`.

A job appends one line to `records.jsonl` when it ends. The files may be torn, or come from elsewhere: what is read is
checked, and what is damaged is named.
"""

from __future__ import annotations

import json
from pathlib import Path

from crossframe.harness.console import say
from crossframe.harness.errors import UsageError
from crossframe.harness.files import append_line, below, read_file, write_atomically
from crossframe.harness.records import version1
from crossframe.harness.records.checks import check_record, check_run, check_values
from crossframe.harness.records.codec import from_json, from_plain, parse, to_json, to_plain
from crossframe.harness.records.model import SCHEMA_VERSION, CeilingResult, Record, RunInfo
from crossframe.harness.records.portability import PortabilityReport, RuntimeResult
from crossframe.harness.records.task_specs import check_spec

RECORDS = "records.jsonl"
RECORDS_BYTES = 2 << 30  # most of all records
REASON_LENGTH = 160  # characters


class NoRunError(UsageError):
    """The folder is not the folder of a run; the message names the file and the reason."""


def append(run: Path, record: Record) -> None:
    """Add one record to `records.jsonl`. ValueError if it does not fit the schema."""
    line = to_json(record)
    try:
        check_record(from_json(line, Record))
    except ValueError as error:
        raise ValueError(f"record of {record.job}: {error}") from None
    append_line(below(run, RECORDS), line)


def read(run: Path) -> tuple[list[Record], list[str]]:
    """Return the records of a run, and one warning for each damaged line, which is left out.

    The last record of a job counts. NoRunError if the folder is not the folder of a run.
    """
    path = run / RECORDS
    try:
        content = read_file(path, RECORDS_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        if not (run / "run.json").exists():
            lack = f"it has neither run.json nor {RECORDS}" if run.is_dir() else "there is no such folder"
            reason = f"{lack}; `crossframe run` makes one under results/"
            raise NoRunError(f"{run} is not a run: {reason}") from None
        content = b""
    except ValueError as error:
        raise NoRunError(str(error)) from None
    records: dict[str, Record] = {}
    warnings = []
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            record = _decode_record(line)
        except ValueError as error:
            warnings.append(f"{path}, line {number} is damaged and left out: {str(error)[:REASON_LENGTH]}")
            continue
        records[record.job] = record
    return list(records.values()), warnings


def _decode_record(line: bytes) -> Record:
    try:
        record = from_json(line, Record)
    except ValueError:
        stored = parse(line)
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
    """Return `run.json`. NoRunError if it is missing, damaged, or of another version."""
    path = run / "run.json"
    try:
        stored = parse(read_file(path))
        schema = stored.get("schema") if isinstance(stored, dict) else None
        if schema not in (version1.VERSION, SCHEMA_VERSION):
            raise NoRunError(f"{path} is of another version of Crossframe: run again with this one")
        info = version1.convert_run(stored) if schema == version1.VERSION else from_plain(stored, RunInfo)
        check_run(info)
        for spec in info.specs.values():
            check_spec(spec)
    except (FileNotFoundError, NotADirectoryError):
        raise NoRunError(f"{run} is not a run: it has no run.json; `crossframe run` makes one") from None
    except ValueError as error:
        raise NoRunError(f"{path} is damaged: {str(error)[:REASON_LENGTH]}") from None
    return info


def write_run(run: Path, info: RunInfo) -> None:
    """Write `run.json`."""
    write_atomically(below(run, "run.json"), to_json(info, indent=1) + "\n")


def read_ceilings(run: Path) -> list[CeilingResult]:
    """Return the entries of `ceilings.json`; [] if there is no such file, or, with a warning, if it is damaged."""
    path = run / "ceilings.json"
    try:
        stored = parse(read_file(path))
        if not isinstance(stored, dict):
            raise ValueError("it is no object")
        if stored.get("schema", version1.VERSION) == version1.VERSION:
            results = version1.convert_ceilings(stored)
        else:
            results = from_plain(stored.get("measured"), list[CeilingResult])
        check_values(results)
        return results
    except FileNotFoundError:
        return []
    except ValueError as error:
        say(f"warning: {path} is damaged and left out: {str(error)[:REASON_LENGTH]}")
        return []


def write_ceilings(run: Path, measured: list[CeilingResult]) -> None:
    """Write `ceilings.json`."""
    plain = {"schema": SCHEMA_VERSION, "measured": to_plain(measured)}
    write_atomically(below(run, "ceilings.json"), json.dumps(plain, indent=1) + "\n")


def read_portability(run: Path) -> tuple[list[RuntimeResult] | None, list[str]]:
    """Return the results of `crossframe portability` and warnings; None if it was not run or its file is damaged."""
    path = run / "portability.json"
    try:
        stored = parse(read_file(path))
        if isinstance(stored, dict) and stored.get("schema") == version1.VERSION:
            results = version1.convert_portability(stored)
        else:
            results = from_plain(stored, PortabilityReport).results
        check_values(results)
        return results, []
    except FileNotFoundError:
        return None, []
    except ValueError as error:
        return None, [f"{path} is damaged and left out: {str(error)[:REASON_LENGTH]}"]
