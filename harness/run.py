"""`crossframe run`: inputs, environments, jobs, verdicts, records; and resuming what was interrupted."""

from __future__ import annotations

import json
import math
import random
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from backends import discover
from harness import records, selftest
from harness.effects import effect
from harness.environments import Environment, make_all
from harness.host import fingerprint
from harness.inputs import write_inputs
from harness.judge import OnnxJudge, judge
from harness.launch import ROOT, Outcome, launch
from harness.machine import Watch
from harness.messages import say
from harness.plan import Cell, Job, Plan, chosen, task_of
from harness.prove import Oracle, ask, prove_all
from harness.quality import pca_mse
from harness.ranking import next_round
from tasks import discover as discover_tasks
from tasks.spec import Dense, Task, from_json, to_json

DONE, CELL_FAILED, GATE_TRIPPED, INTERRUPTED = 0, 1, 4, 130


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


def start(plan: Plan, folder: Path) -> None:
    """Make the run's folder: its inputs and `run.json`."""
    tasks = {}
    data_dir = Path(plan.options["data_dir"]) if plan.options["data_dir"] else None
    for task in plan.tasks.values():
        for batch_size in sorted({job.cell.batch_size for job in plan.jobs if job.cell.task == task.name}):
            cell = Cell(task.name, "", "", "", "", batch_size)
            for seed in range(plan.options["seeds"]):
                path = inputs_of(folder, cell, seed)
                write_inputs(path, task_of(plan, cell), plan.options["data"], data_dir, seed)
        sizes = [int(np.prod(shape)) for shape in task.parameters().values()]
        tasks[task.name] = {"parameters": sum(sizes), "baseline": baseline(task, inputs_of(folder, cell))}
    told = {
        "schema": records.SCHEMA_VERSION,
        "name": folder.name,
        "created": now(),
        "crossframe": version("crossframe"),
        "commit": commit(),
        "options": plan.options,
        "device": plan.device,
        "host": fingerprint(),
        "selftest": selftest.last(),
        "tasks": tasks,
        "specs": {name: to_json(task) for name, task in plan.tasks.items()},
        "backends": {
            backend.name: {"title": backend.facts["title"], "uncompiled_mode": backend.facts.get("uncompiled_mode")}
            for backend in plan.backends.values()
        },
        "jobs": [{"cell": asdict(job.cell), "repeat": job.repeat} for job in plan.jobs],
    }
    (folder / "run.json").write_text(json.dumps(told, indent=1, default=str) + "\n")


def resumed(told: dict[str, Any]) -> Plan:
    """The plan that a `run.json` holds; Usage where a backend of it is gone."""
    known = discover()
    names = list(told["backends"])
    chosen("backend", names, list(known))
    jobs = tuple(Job(Cell(**job["cell"]), job["repeat"]) for job in told["jobs"])
    tasks = {name: from_json(spec) for name, spec in told["specs"].items()}
    options = {"budget_s": None, "seeds": 1, **told["options"]}  # which older runs did not have
    return Plan(tasks, {name: known[name] for name in names}, told["device"], jobs, options)


def inputs_of(folder: Path, cell: Cell, seed: int = 0) -> Path:
    """What a cell's jobs read: data, initial weights and order of batches, as a seed draws them."""
    return folder / "inputs" / f"{cell.task}-{cell.batch_size}{f'-seed{seed}' * (seed > 0)}.npz"


def seed_of(plan: Plan, job: Job) -> int:
    """The seeds take turns, so that a round is the same for every cell."""
    return (job.repeat - 1) % plan.options["seeds"]


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def job_document(plan: Plan, job: Job, folder: Path) -> dict[str, Any]:
    """What the worker reads: everything that it needs, so that the job can be replayed by hand."""
    backend = plan.backends[job.cell.backend]
    return {
        **asdict(job.cell),
        "task": to_json(task_of(plan, job.cell)),
        "module": backend.module,
        "packages": backend.facts["packages"],
        "onnx_opset": backend.facts.get("onnx_opset", 0),
        "inputs": str(inputs_of(folder, job.cell, seed_of(plan, job)).resolve()),
        "cpus": plan.options["cpus"],
    }


def work(plan: Plan, job: Job, folder: Path, ready: dict[str, Environment], failed: dict[str, str]) -> Outcome:
    """Run one job, or say why it can't be run."""
    backend = plan.backends[job.cell.backend]
    kind = plan.device.partition(":")[0]
    if backend.name in failed:
        return Outcome("not_installed", failed[backend.name], 0.0, {})
    if backend.name not in ready:
        return Outcome("unsupported", f"{backend.name} names no requirements for {kind}", 0.0, {})
    python = ready[backend.name].python
    document = job_document(plan, job, folder)
    return launch(python, backend, document, (folder / "jobs" / job.name).resolve(), plan.options["timeout"])


def record_of(
    plan: Plan, job: Job, folder: Path, outcome: Outcome, onnx: OnnxJudge, environment: Any
) -> dict[str, Any]:
    """The record of a job that ended. Arrays that can't be judged make it `failed`."""
    state, reason, verdict = outcome.state, outcome.reason, None
    if state == "ok":
        try:
            job_folder = folder / "jobs" / job.name
            inputs = inputs_of(folder, job.cell, seed_of(plan, job))
            verdict = judge(task_of(plan, job.cell), inputs, job_folder, outcome.measures, onnx)
        except (OSError, ValueError, KeyError) as error:
            state, reason = "failed", f"its outputs can't be judged: {type(error).__name__}: {error}"
    if verdict and not outcome.measures["checkpoint_exact"]:
        state, reason = "failed", "loading its own checkpoint does not bring the weights back"
    return {
        "schema": records.SCHEMA_VERSION,
        "job": job.name,
        "repeat": job.repeat,
        "cell": asdict(job.cell),
        "state": state,
        "reason": reason,
        "started": now(),
        "wall_s": outcome.wall_s,
        "measures": {key: value for key, value in outcome.measures.items() if key not in ("state", "reason", "export")},
        "verdict": verdict,
        "environment": {"bytes": environment and environment.bytes, "install_s": environment and environment.install_s},
    }


def prepared(plan: Plan, jobs: list[Job]) -> tuple[dict[str, Environment], dict[str, str]]:
    """The environments of the backends that some jobs need: those that are ready, and why others are not."""
    wanted = [plan.backends[name] for name in dict.fromkeys(job.cell.backend for job in jobs)]
    own = {name: Path(python) for name, python in plan.options["python"].items()}
    kind = plan.device.partition(":")[0]
    makeable = [
        b for b in wanted if b.name in own or "install" not in b.facts or b.requirements(kind) is not None
    ]  # fmt: skip
    return make_all(makeable, kind, own)


def carry_out(plan: Plan, folder: Path, done: set[str]) -> None:
    """Prove every cell that has a job left, then run each such job: a record each. Then spend what is left to spend."""
    jobs = [job for job in plan.jobs if job.name not in done]
    ready, failed = prepared(plan, jobs)
    proven = prove_cells(plan, folder, [job.cell for job in jobs], ready) if plan.options["parity"] else {}
    begin = time.monotonic()
    with closing(OnnxJudge()) as onnx:

        def one(job: Job) -> dict[str, Any]:
            watch = Watch()
            outcome = work(plan, job, folder, ready, failed)
            machine = watch.told()
            record = record_of(plan, job, folder, outcome, onnx, ready.get(job.cell.backend))
            record |= {"parity": proven.get(job.cell), "machine": machine}
            records.append(folder, record)
            return record

        for number, job in enumerate(jobs, start=1):
            record = one(job)
            left_s = (time.monotonic() - begin) / number * (len(jobs) - number)
            say(progress(job, record, number, len(jobs), left_s))
            if plan.options["preset"] == "original":
                say_curve(record)
        if plan.options["budget_s"]:
            spend(folder, one, begin + plan.options["budget_s"])


def spend(folder: Path, one: Callable[[Job], dict[str, Any]], end: float) -> None:
    """More rounds, of the cells that the noise still holds together, until all is settled or the time is up."""
    while True:
        known = records.read(folder)[0]
        cells = [Cell(**cell) for cell in next_round(known, end - time.monotonic())]
        if not cells:
            return
        number = 1 + max(record["repeat"] for record in known)
        say(f"round {number}: {len(cells)} cells are not settled, {max(0.0, end - time.monotonic()):.0f} s are left")
        for cell in random.Random(number).sample(cells, len(cells)):
            one(Job(cell, number))


def oracles(plan: Plan, folder: Path, cells: list[Cell], seed: int = 0) -> dict[tuple[str, int], Oracle]:
    """(task, batch size) -> its oracle. The smallest task of all is asked about every optimizer."""
    known = [presets["standard"] for presets in discover_tasks().values()]
    smallest = min(known, key=lambda task: sum(map(math.prod, task.parameters().values())))
    found: dict[tuple[str, int], Oracle] = {}
    for cell in cells:
        key = cell.task, cell.batch_size
        if key not in found:
            inputs, whole = inputs_of(folder, cell), cell.task == smallest.name
            question = ask(task_of(plan, cell), inputs, folder / "jobs", whole, seed)
            found[key] = Oracle(question)
    return found


def prove_cells(
    plan: Plan, folder: Path, cells: list[Cell], ready: dict[str, Environment]
) -> dict[Cell, dict[str, Any]]:
    """Cell -> {state, reason, hint, effect}, for cells whose backend can run; all checks go to `parity.jsonl`."""
    wanted = [cell for cell in dict.fromkeys(cells) if cell.backend in ready]
    proven = {}
    with (folder / "parity.jsonl").open("a") as file:
        known = oracles(plan, folder, wanted)
        for cell, found in prove_all(wanted, plan.backends, ready, known, folder / "jobs", plan.options):
            file.write(json.dumps({"cell": asdict(cell), **found}) + "\n")
            changed = effect(task_of(plan, cell), inputs_of(folder, cell), found["dialect"], work=False)
            proven[cell] = {**{name: found[name] for name in ("state", "reason", "hint")}, "effect": changed}
            if found["state"] != "ok":
                say(f"parity of {cell.task} {cell.backend} {cell.mode}: {found['state']}: {found['reason']}")
    return proven


def progress(job: Job, record: dict[str, Any], number: int, total: int, left_s: float) -> str:
    """One line on a job that ended, with an estimate of what is left."""
    cell = job.cell
    what = f"[{number:{len(str(total))}}/{total}] {cell.task:<12} {cell.backend:<11} {cell.mode:<10}"
    left = "" if number == total else f", about {left_s // 60:.0f} min {left_s % 60:02.0f} s left"
    reason = f": {record['reason'][:200]}" if record["reason"] else ""
    return f"{what} {record['state']} in {record['wall_s']:.1f} s{left}{reason}"


def say_curve(record: dict[str, Any]) -> None:
    """The training loss at each evaluation, as the text of preset `original` printed it."""
    for point in record["measures"].get("curve", []):
        loss = point["loss"] if point["train_loss"] is None else point["train_loss"]
        side = "held-out" if point["train_loss"] is None else "training"
        say(f"    epoch {point['epoch']:5d}  {side} loss {loss:.6f}")


def interruptible(plan: Plan, folder: Path, done: set[str]) -> int:
    """`carry_out`, ended cleanly by Ctrl-C; the exit code."""
    try:
        carry_out(plan, folder, done)
    except KeyboardInterrupt:
        say(f"\ninterrupted; what was done is kept. To go on: crossframe run --resume {folder}")
        return INTERRUPTED
    found = records.read_with_warnings(folder)
    if not all(record["state"] == "ok" for record in found):
        return CELL_FAILED
    return GATE_TRIPPED if any((record["parity"] or {}).get("state") == "failed" for record in found) else DONE
