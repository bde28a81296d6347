"""The reader of runs of version 1: it converts their plain JSON to the names and the shape of version 2.

Nothing writes version 1. Its records keep the end of a job as `started`, and the quality of an evaluation point beside
the loss.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from crossframe.harness.records.codec import from_plain
from crossframe.harness.records.model import SCHEMA_VERSION, CeilingResult, Host, Record, RunInfo
from crossframe.harness.records.portability import RuntimeResult
from crossframe.harness.worker.measurements import EvaluationPoint

VERSION = 1

OPTIONS = {"timeout": "timeout_s", "budget_s": "time_budget_s", "profile": "profile_operators"}
MEASUREMENTS = {"infer_many": "infer_batch_size", "infer_many_samples_s": "infer_batch_samples_s"}
RECORD = {"measures": "measurements", "verdict": "evaluation", "started": "ended", "limits": "roofline"}
DISTANCES = {
    "scaled": "relative_error",
    "own_error": "framework_error",
    "own_errors": "framework_error_ratio",
}
CHECKS = {"numbers": "distances", "from_framework": "framework_distance", "parts": "batching_error"}
QUALITY = ("metric", "value", "change")

Plain = Mapping[str, Any]


def convert_record(stored: Plain) -> Record:
    """Return a line of `records.jsonl`. ValueError if it does not fit."""
    try:
        return from_plain(_convert_record(stored), Record)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no record of version {VERSION}: {error!r}") from None


def convert_run(stored: Plain) -> RunInfo:
    """Return `run.json`. ValueError if it does not fit."""
    defaults: dict[str, Any] = {"crossframe": "", "commit": None, "selftest": None, "specs": {}}
    host: dict[str, Any] = dict.fromkeys(part.name for part in fields(Host))
    host |= {"affinity": [], "gpus": [], "kernel": "", "python": ""}
    try:
        plain = {
            **defaults,
            **stored,
            "schema": SCHEMA_VERSION,
            "options": _rename(stored["options"], OPTIONS),
            "host": {**host, **stored["host"]},
        }
        return from_plain(plain, RunInfo)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no run of version {VERSION}: {error!r}") from None


def convert_ceilings(stored: Plain) -> list[CeilingResult]:
    """Return the entries of `ceilings.json`. ValueError if they do not fit."""
    try:
        plain = [_rename(entry, {"doubts": "caveats"}) for entry in stored["measured"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no ceilings of version {VERSION}: {error!r}") from None
    return from_plain(plain, list[CeilingResult])


def convert_portability(stored: Plain) -> list[RuntimeResult]:
    """Return the results in `portability.json`. ValueError if they do not fit."""
    try:
        plain = [_convert_runtime_result(cell) for cell in stored["cells"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no portability report of version {VERSION}: {error!r}") from None
    return from_plain(plain, list[RuntimeResult])


def _rename(stored: Plain, names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in stored.items()}


def _convert_record(stored: Plain) -> Plain:
    plain = _rename(stored, RECORD)
    plain |= {"schema": SCHEMA_VERSION, "started": None, "measurements": _convert_measurements(stored["measures"])}
    if plain.get("machine"):
        plain["machine"] = _rename(plain["machine"], {"others_share": "other_programs_share"})
    if plain.get("gpu"):
        plain["gpu"] = _rename(plain["gpu"], {"others": "other_processes"})
    if plain.get("roofline"):
        plain["roofline"] = _rename(plain["roofline"], {"doubts": "caveats"})
    return plain


def _convert_measurements(stored: Plain) -> Plain:
    plain = _rename(stored, MEASUREMENTS)
    plain.pop("export", None)
    if "receipt" in plain:
        plain["receipt"] = _convert_receipt(plain["receipt"])
    if "curve" in plain:
        plain["curve"] = [_convert_evaluation_point(point) for point in plain["curve"]]
    return plain


def _convert_receipt(stored: Plain) -> Plain:
    plain = _rename(stored, {"pools": "thread_pools"})
    settings = dict(plain["settings"])
    plain["settings"] = {
        "threads": settings.pop("threads", None),
        "float32_products": settings.pop("float32_products", None),
        "details": {name: _join(value) for name, value in settings.items()},
    }
    return plain


def _join(value: object) -> object:
    return ", ".join(map(str, value)) if isinstance(value, list) else value


def _convert_evaluation_point(stored: Plain) -> Plain:
    names = {part.name for part in fields(EvaluationPoint)}
    point = {name: value for name, value in stored.items() if name in names}
    return {"train_loss": None, **point, "quality": {n: v for n, v in stored.items() if n not in names}}


def _convert_runtime_result(stored: Plain) -> Plain:
    checks = stored.get("checks") or {}
    plain_checks = _rename({name: value for name, value in checks.items() if name not in QUALITY}, CHECKS)
    distances = plain_checks.get("distances")
    plain_checks["distances"] = _rename(distances, DISTANCES) if distances else None
    plain_checks["quality"] = {name: checks[name] for name in QUALITY} if "metric" in checks else None
    plain_checks["inputs"] = plain_checks.get("inputs") or {}
    plain = {name: value for name, value in stored.items() if name not in ("checks", "blame")}
    fault = stored.get("blame")
    return {**plain, "checks": plain_checks, "fault": _rename(fault, {"why": "reason"}) if fault else None}
