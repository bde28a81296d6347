"""The folder of a run: made with its inputs and `run.json` before anything runs, and read again to resume the run."""

from __future__ import annotations

import math
import os
import subprocess
import tomllib
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from crossframe.backends import discover
from crossframe.harness.errors import UsageError
from crossframe.harness.files import COPY_BYTES, read_archive
from crossframe.harness.launch.child import ChildProcess
from crossframe.harness.launch.env_vars import ROOT
from crossframe.harness.machine.gpus import list_gpus, resolve_device
from crossframe.harness.machine.host import fingerprint
from crossframe.harness.plan.inputs import draw_inputs
from crossframe.harness.plan.plan import Plan, select_names
from crossframe.harness.records import store
from crossframe.harness.records.model import SCHEMA_VERSION, BackendInfo, Cell, GpuInfo, ModeTrial, RunInfo, TaskInfo
from crossframe.harness.run.pins import pin_inputs
from crossframe.harness.selftest import selftest
from crossframe.harness.worker.quality import pca_mse
from crossframe.tasks.spec import Dense, Task, from_json, to_json


def describe_commit() -> str | None:
    """Return the commit of this checkout, with a `+` if files differ from it; None outside of a checkout."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"]
    try:
        described = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:  # there is no git
        return None
    return described.stdout.strip() or None


def read_version() -> str:
    """Return Crossframe's version: of the installed distribution, or of a source tree that is not installed."""
    try:
        return version("crossframe")
    except PackageNotFoundError:
        return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


def compute_baseline(task: Task, inputs: Path) -> dict[str, float] | None:
    """Return the quality that a task's baseline reaches without training, by name; None if it has no baseline."""
    if task.baseline is None:
        return None
    narrowest = min(layer.units for _, layer, _ in task.walk_leaves() if isinstance(layer, Dense))
    data = read_archive(inputs, COPY_BYTES, names=("x_train", "x_test"))
    return {f"pca_{narrowest}_mse": pca_mse(data["x_train"], data["x_test"], narrowest)}


def utc_now() -> str:
    """Return the present time as ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def start_run(plan: Plan, folder: Path, trials: Sequence[ModeTrial] = ()) -> None:
    """Draw the inputs of a run into its folder, and write `run.json`; `trials` are those by which modes were chosen."""
    with closing(ChildProcess()) as child:  # data may be large
        tasks = {
            task.name: TaskInfo(
                parameters=sum(math.prod(shape) for shape in task.parameters().values()),
                baseline=child.call(compute_baseline, task, child.call(draw_task_inputs, plan, folder, task)),
            )
            for task in plan.tasks.values()
        }
    info = RunInfo(
        schema=SCHEMA_VERSION,
        name=folder.name,
        created=utc_now(),
        crossframe=read_version(),
        commit=describe_commit(),
        options=plan.options,
        device=plan.device,
        host=fingerprint(),
        selftest=selftest.last_summary(plan.device),
        tasks=tasks,
        backends={
            backend.name: BackendInfo(backend.manifest.title, backend.manifest.uncompiled_mode)
            for backend in plan.backends.values()
        },
        jobs=list(plan.jobs),
        specs={name: to_json(task) for name, task in plan.tasks.items()},
        trials=list(trials),
    )
    pin_inputs(folder)
    store.write_run(folder, info)


def draw_task_inputs(plan: Plan, folder: Path, task: Task) -> Path:
    """Draw the inputs of a task for all batch sizes and seeds, unless they exist; return those of the first seed."""
    for batch_size in sorted({job.cell.batch_size for job in plan.jobs if job.cell.task == task.name}):
        cell = Cell(task.name, "", "", "", "", batch_size)
        inputs = [draw_inputs(plan, folder, cell, seed) for seed in range(plan.options.seeds)]
    return inputs[0]


def resume_plan(info: RunInfo) -> Plan:
    """Return the plan of a run. UsageError if a part of it no longer exists here, and as `require_same_gpus`."""
    require_same_gpus(info)
    available = discover()
    names = select_names("backend", info.backends, list(available))
    select_names("backend", [job.cell.backend for job in info.jobs], names)
    select_names("task", [job.cell.task for job in info.jobs], list(info.specs))
    missing = sorted({*info.options.cpus} - os.sched_getaffinity(0))
    if missing or not info.options.cpus:
        raise UsageError(f"{info.name} uses the processors {info.options.cpus}, and this process may not use {missing}")
    tasks: dict[str, Task] = {name: from_json(spec) for name, spec in info.specs.items()}
    return Plan(tasks, {name: available[name] for name in names}, info.device, tuple(info.jobs), info.options)


def require_same_gpus(info: RunInfo) -> None:
    """Raise MissingError if the GPU of a run does not exist here, UsageError if there are other GPUs than at its start.

    The records of two GPUs, or of two drivers of one GPU, would be averaged as one cell.
    """
    if info.device == "cpu":
        return
    resolve_device(info.device)
    before, now = ("; ".join(map(describe_gpu, gpus)) for gpus in (info.host.gpus, list_gpus()))
    if before != now:
        raise UsageError(
            f"{info.name} was started on {before}, and this machine has {now}; a run holds the results of one GPU, "
            "so start another run"
        )


def describe_gpu(gpu: GpuInfo) -> str:
    """Return name, memory and driver of a GPU."""
    return f"{gpu.name} of {gpu.memory_bytes / 1e9:.1f} GB (driver {gpu.driver})"
