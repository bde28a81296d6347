"""The files of a run, each laid alone into a folder and looked at; the neutral writer's file beside each task's."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from crossframe.backends import discover
from crossframe.harness.launch.launch import launch
from crossframe.harness.plan.inputs import inputs_of
from crossframe.harness.plan.plan import Cell
from crossframe.harness.portability.model_file import Subject
from crossframe.harness.portability.test_vectors import of_task
from crossframe.harness.records import store
from crossframe.tasks.spec import Arrays, from_json

STRUCTURE_TIMEOUT_S = 120


class Unreadable(Exception):
    """The file can't be examined at all; the message says at which stage, and why."""


def look(path: Path, folder: Path) -> dict[str, Any]:
    """What `crossframe.harness.portability.inspect_model` finds, in a process of its own; Unreadable where it finds no model."""
    job = {"model": str(path.resolve()), "cpus": sorted(os.sched_getaffinity(0))}
    program = "crossframe.harness.portability.inspect_model"
    outcome = launch(Path(sys.executable), discover()["reference"], job, folder.resolve(), STRUCTURE_TIMEOUT_S, program)
    if outcome.state != "ok":
        raise Unreadable(f"load: {outcome.reason}")
    return outcome.measures


def lay(path: Path, told: dict[str, Any], folder: Path) -> Path:
    """The file, and what it names within its own folder, copied into an empty one."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copyfile(path, folder / "model.onnx")
    for name in set(told["external"]["files"]) - set(told["external"]["outside"] + told["external"]["missing"]):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path.parent / name, folder / name)
    return folder / "model.onnx"


def examined(subject: Subject, folder: Path) -> Subject:
    """The subject, looked at and laid into `folder`."""
    told = look(subject.path, folder / "structure" / subject.key)
    return replace(subject, told=told, path=lay(subject.path, told, folder / "files" / subject.key))


def arrays(path: Path) -> Arrays:
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def weights_of(job: Path) -> Arrays:
    """The trained weights that a job left. Unreadable where there are none."""
    prefix = "weights/"
    found = {k.removeprefix(prefix): array for k, array in arrays(job / "outputs.npz").items() if k.startswith(prefix)}
    if not found:
        raise Unreadable(f"{job}: its outputs hold no weights: made by an older Crossframe; run again")
    return found


def jobs_of(run: Path, tasks: Iterable[str]) -> list[dict[str, Any]]:
    """The record of the first float32 job of each task and backend that ended well."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for record in sorted(store.read_with_warnings(run), key=lambda record: record["job"]):
        task, backend = record["cell"]["task"], record["cell"]["backend"]
        if record["cell"]["precision"] == "float32" and record["state"] == "ok" and task in tasks:
            found.setdefault((task, backend), record)
    return [found[key] for key in sorted(found)]


def of_job(run: Path, record: dict[str, Any], folder: Path) -> Subject:
    """The file that a job left, with the oracle of its trained weights. Unreadable where the job left no weights."""
    cell, job = Cell(**record["cell"]), run / "jobs" / record["job"]
    task = from_json(store.read_run(run)["specs"][cell.task])
    data = arrays(inputs_of(run, cell))
    reference = of_task(task, weights_of(job), data["x_test"])
    feeds = reference.save(folder / "feeds" / f"{cell.task}-{cell.backend}.npz")
    own = arrays(job / "outputs.npz")["outputs"]
    subject = Subject(cell.backend, cell.task, job / "model.onnx", feeds, reference, task, data["y_test"], own)
    return replace(subject, own_error=float(np.abs(own - subject.oracle()[: len(own)]).max()))
