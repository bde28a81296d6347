"""`crossframe plan`: about how long a run will take and how much disk, from earlier runs where there are any."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from crossframe.harness.machine import environments
from crossframe.harness.plan import readiness
from crossframe.harness.plan.plan import Plan, task_of
from crossframe.harness.records import store

UNKNOWN_JOB_S = 8.0  # for a job that no earlier run has measured: the median of a first `standard` run on two cores
# Of an environment that is not made yet: the mean of four, by `crossframe.harness.machine.environments.folder_bytes` on 2026-11-21. Those
# for cards bring CUDA's libraries.
ENVIRONMENT_BYTES = {"cpu": 1.2e9, "cuda": 4.6e9}


def earlier(results: Path) -> dict[tuple[Any, ...], list[float]]:
    """(*cell, preset) -> wall seconds of the jobs of earlier runs that ended well."""
    found: dict[tuple[Any, ...], list[float]] = {}
    for run in sorted(results.glob("*/run.json")):
        try:
            preset = store.read_run(run.parent)["options"]["preset"]
            for record in store.read(run.parent)[0]:
                if record["state"] == "ok":
                    key = (*record["cell"].values(), preset)
                    found.setdefault(key, []).append(record["wall_s"])
        except store.NoRun:
            continue
    return found


def estimate(plan: Plan, results: Path) -> dict[str, Any]:
    """{device, jobs, seconds, known, disk_bytes, to_make, unsupported, notes}.

    `known` is the share of jobs with an earlier measurement; `unsupported` says which backends will not run, and why;
    `notes` what is to be known of builds that will.
    """
    before = earlier(results)
    preset = plan.options["preset"]
    rows, known = [], 0
    for job in plan.jobs:
        taken = before.get((*asdict(job.cell).values(), preset))
        known += taken is not None
        rows.append({"job": job.name, "seconds": median(taken) if taken else UNKNOWN_JOB_S})
    kind = plan.device.partition(":")[0]
    refused = readiness.refusals(plan)
    ours = [b for b in plan.backends.values() if b.name not in plan.options["python"] and b.name not in refused]
    ours = [backend for backend in ours if backend.requirements(kind)]
    to_make = [one.name for one in ours if not environments.made(environments.location(one, kind))]
    notes = {one.name: one.facts["install"][kind].get("note") for one in ours}
    # Weights of the first epoch, a checkpoint with the optimizer's two moments, the ONNX file: five times the weights.
    sizes = [sum(math.prod(shape) for shape in task_of(plan, job.cell).parameters().values()) * 4 for job in plan.jobs]
    return {
        "device": plan.device,
        "jobs": rows,
        "seconds": sum(row["seconds"] for row in rows),
        "known": known / len(rows) if rows else 1.0,
        "disk_bytes": int(5 * sum(sizes) + ENVIRONMENT_BYTES[kind] * len(to_make)),
        "to_make": to_make,
        "unsupported": refused,
        "notes": {name: note for name, note in notes.items() if note},
    }


def as_text(told: dict[str, Any]) -> str:
    lines = [row["job"] for row in told["jobs"]]
    minutes, seconds = divmod(round(told["seconds"]), 60)
    lines.append(
        f"{len(told['jobs'])} jobs on {told['device']}: about {minutes} min {seconds:02d} s "
        f"({told['known']:.0%} of the jobs were timed in earlier runs), {told['disk_bytes'] / 1e6:,.0f} MB of disk"
    )
    lines += [f"{name} will be unsupported on {told['device']}: {why}" for name, why in told["unsupported"].items()]
    lines += [f"{name} on {told['device']}: {note}" for name, note in told["notes"].items()]
    if told["to_make"]:
        lines.append(f"environments to be made first: {', '.join(told['to_make'])}")
    return "\n".join(lines)
