"""The fairness receipt of a run: what each backend was given and says it used, and where they differ.

A difference that changes what is compared withholds the ranking: of processors, of threads, of what float32 means.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Record = dict[str, Any]


def receipts(records: Iterable[Record]) -> list[dict[str, Any]]:
    """One row for each backend and mode: what it was given, in every job of it, and used at most."""
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for record in records:
        told, cell = record["measures"].get("receipt"), record["cell"]
        if record["state"] != "ok" or not told:
            continue
        key = cell["backend"], cell["mode"], cell["precision"]
        row = rows.setdefault(
            key,
            {
                **dict(zip(("backend", "mode", "precision"), key, strict=True)),
                "cpus": told["cpus"],
                "pools": told["pools"],
                "settings": told["settings"],
                "busy_threads": 0,
                "cpu_per_wall": 0.0,
                "same_in_all_jobs": True,
                "jobs": 0,
                "processes": set(),
            },
        )
        row["jobs"] += 1
        row["processes"].add(told["process"])
        row["same_in_all_jobs"] &= all(row[name] == told[name] for name in ("cpus", "pools", "settings"))
        row["busy_threads"] = max(row["busy_threads"], told["busy_threads"] or 0)
        row["cpu_per_wall"] = max(row["cpu_per_wall"], told["cpu_per_wall"])
    return [{**rows[key], "processes": len(rows[key]["processes"])} for key in sorted(rows)]


def differences(rows: list[dict[str, Any]]) -> list[str]:
    """What is not equal, a line each; empty where the comparison is fair."""
    found = []
    for name, what in (("cpus", "processors"), ("pools", "sizes of thread pools")):
        kinds = {str(row[name]) for row in rows}
        if len(kinds) > 1:
            found.append(f"not all had the same {what}: {', '.join(sorted(kinds))}")
    for row in rows:
        who, settings = f"{row['backend']} {row['mode']}", row["settings"]
        if not row["same_in_all_jobs"]:
            found.append(f"{who} did not have the same settings in all of its jobs")
        if row["processes"] < row["jobs"]:
            found.append(f"{who} ran {row['jobs']} jobs in {row['processes']} processes: they share their luck")
        if settings["threads"] not in (None, len(row["cpus"])):
            found.append(f"{who} uses {settings['threads']} threads, where {len(row['cpus'])} processors were given")
        if row["precision"] == "float32" and settings["float32_products"] not in (None, "float32"):
            found.append(f"{who} multiplies float32 as {settings['float32_products']}")
    return found
