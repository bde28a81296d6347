"""The folder of a run: its inputs and `run.json`, made before anything runs and read again to go on."""

from __future__ import annotations

import json
import subprocess
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from crossframe.backends import discover
from crossframe.harness.errors import Usage
from crossframe.harness.launch.launch import ROOT
from crossframe.harness.machine.gpus import gpus, resolve_device
from crossframe.harness.machine.host import fingerprint
from crossframe.harness.plan.inputs import draw, inputs_of
from crossframe.harness.plan.plan import Cell, Job, Plan, chosen
from crossframe.harness.records import store
from crossframe.harness.selftest import selftest
from crossframe.harness.worker.quality import pca_mse
from crossframe.tasks.spec import Dense, Task, from_json, to_json


def commit() -> str | None:
    """The commit of this checkout, with a + where files differ from it; None outside of one."""
    described = subprocess.run(
        ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"],
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip() or None


def baseline(task: Task, inputs: Path) -> dict[str, float] | None:
    """The figure without training that stands beside a task's quality."""
    if task.baseline is None:
        return None
    narrowest = min(layer.units for layer in task.layers if isinstance(layer, Dense))
    with np.load(inputs, allow_pickle=False) as data:
        return {f"pca_{narrowest}_mse": pca_mse(data["x_train"], data["x_test"], narrowest)}


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def start(plan: Plan, folder: Path) -> None:
    """Make the run's folder: its inputs and `run.json`."""
    tasks = {}
    for task in plan.tasks.values():
        for batch_size in sorted({job.cell.batch_size for job in plan.jobs if job.cell.task == task.name}):
            cell = Cell(task.name, "", "", "", "", batch_size)
            for seed in range(plan.options["seeds"]):
                draw(plan, folder, cell, seed)
        sizes = [int(np.prod(shape)) for shape in task.parameters().values()]
        tasks[task.name] = {"parameters": sum(sizes), "baseline": baseline(task, inputs_of(folder, cell))}
    told = {
        "schema": store.SCHEMA_VERSION,
        "name": folder.name,
        "created": now(),
        "crossframe": version("crossframe"),
        "commit": commit(),
        "options": plan.options,
        "device": plan.device,
        "host": fingerprint(),
        "selftest": selftest.last(plan.device),
        "tasks": tasks,
        "specs": {name: to_json(task) for name, task in plan.tasks.items()},
        "backends": {
            backend.name: {"title": backend.facts["title"], "uncompiled_mode": backend.facts.get("uncompiled_mode")}
            for backend in plan.backends.values()
        },
        "jobs": [{"cell": asdict(job.cell), "repeat": job.repeat} for job in plan.jobs],
    }
    (folder / "run.json").write_text(json.dumps(told, indent=1, default=str) + "\n")


def same_cards(told: dict[str, Any]) -> None:
    """Missing where the card of a run is not there; Usage where the driver shows other cards than then.

    The records of two cards, or of two drivers of one, would be averaged as one cell.
    """
    if told["device"] == "cpu":
        return
    resolve_device(told["device"])
    then, here = ("; ".join(map(described, found)) for found in (told["host"]["gpus"], gpus()))
    if then != here:
        raise Usage(
            f"{told['name']} was begun on {then}, and here is {here}: one run holds what one card did, so begin another"
        )


def described(gpu: dict[str, Any]) -> str:
    return f"{gpu['name']} of {gpu['memory_bytes'] / 1e9:.1f} GB (driver {gpu['driver']})"


def resumed(told: dict[str, Any]) -> Plan:
    """The plan that a `run.json` holds; Usage where a backend of it is gone, and by `same_cards`."""
    same_cards(told)
    known = discover()
    names = list(told["backends"])
    chosen("backend", names, list(known))
    jobs = tuple(Job(Cell(**job["cell"]), job["repeat"]) for job in told["jobs"])
    tasks = {name: from_json(spec) for name, spec in told["specs"].items()}
    options = {**store.LATER_OPTIONS, **told["options"]}
    return Plan(tasks, {name: known[name] for name in names}, told["device"], jobs, options)
