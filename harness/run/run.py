"""`crossframe run`: environments, proofs, jobs, judgements, records."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from crossframe.harness.analysis import roofline
from crossframe.harness.analysis.gpu import untouched
from crossframe.harness.analysis.labels import names_of
from crossframe.harness.analysis.ranking import next_round
from crossframe.harness.console import say
from crossframe.harness.errors import CELL_FAILED, DONE, GATE_TRIPPED, INTERRUPTED
from crossframe.harness.launch.gpu_sampler import Sampler
from crossframe.harness.launch.interference import Watch
from crossframe.harness.launch.launch import Outcome, launch
from crossframe.harness.machine.environments import Environment
from crossframe.harness.parity.dialects import spoken
from crossframe.harness.parity.effects import effect
from crossframe.harness.parity.prove import prove_all
from crossframe.harness.parity.reference_traces import oracles
from crossframe.harness.plan.inputs import inputs_of, seed_of
from crossframe.harness.plan.plan import Cell, Job, Plan, task_of
from crossframe.harness.plan.readiness import prepared
from crossframe.harness.records import store
from crossframe.harness.run import ceilings
from crossframe.harness.run.evaluate import OnnxJudge, judge
from crossframe.harness.run.folder import now
from crossframe.tasks.spec import to_json


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
        "profile": plan.options["profile"],
    }


def work(plan: Plan, job: Job, folder: Path, environment: Environment) -> Outcome:
    backend, where = plan.backends[job.cell.backend], (folder / "jobs" / job.name).resolve()
    return launch(environment.python, backend, job_document(plan, job, folder), where, plan.options["timeout"])


def record_of(
    plan: Plan,
    job: Job,
    folder: Path,
    outcome: Outcome,
    onnx: OnnxJudge,
    environment: Environment | None,
    card: dict[str, Any] | None,
) -> dict[str, Any]:
    """The record of a job that ended. Arrays that can't be judged make it `failed`, as does a card that did nothing."""
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
    elsewhere = untouched(card, outcome.measures) if state == "ok" else None
    if elsewhere:
        state, reason = "failed", elsewhere
    return {
        "schema": store.SCHEMA_VERSION,
        "job": job.name,
        "repeat": job.repeat,
        "cell": asdict(job.cell),
        "state": state,
        "reason": reason,
        "started": now(),
        "wall_s": outcome.wall_s,
        "measures": {key: value for key, value in outcome.measures.items() if key not in ("state", "reason", "export")},
        "verdict": verdict,
        "gpu": card,
        "environment": {"bytes": environment and environment.bytes, "install_s": environment and environment.install_s},
    }


def carry_out(plan: Plan, folder: Path, done: set[str]) -> None:
    """Prove every cell that has a job left, then run each such job: a record each. Then spend what is left to spend."""
    jobs = [job for job in plan.jobs if job.name not in done]
    # A budget may be spent on any cell, one whose jobs are all done too.
    cells = list(dict.fromkeys(job.cell for job in (plan.jobs if plan.options["budget_s"] else jobs)))
    ready, missing = prepared(plan, {cell.backend for cell in cells})
    proven = prove_cells(plan, folder, cells, ready) if plan.options["parity"] else {}
    measured = ceilings.measure(plan, folder, ready, sorted({cell.precision for cell in cells}))
    names = dict(zip(cells, map(" ".join, names_of([asdict(cell) for cell in cells]))))
    begin = time.monotonic()
    with closing(OnnxJudge()) as onnx:

        def one(job: Job) -> dict[str, Any]:
            watch = Watch()
            environment = ready.get(job.cell.backend)
            with Sampler(plan.device if environment else "cpu") as card:
                if environment is None:
                    outcome = Outcome(*missing[job.cell.backend], 0.0, {})
                else:
                    outcome = work(plan, job, folder, environment)
            machine = watch.told()
            record = record_of(plan, job, folder, outcome, onnx, environment, card.told())
            bounds = roofline.of_cell(plan, job.cell, measured)
            record |= {"parity": proven.get(job.cell), "machine": machine, "limits": bounds}
            store.append(folder, record)
            return record

        for number, job in enumerate(jobs, start=1):
            record = one(job)
            left_s = (time.monotonic() - begin) / number * (len(jobs) - number)
            say(progress(names[job.cell], record, number, len(jobs), left_s))
            if plan.options["preset"] == "original":
                say_curve(record)
        if plan.options["budget_s"]:
            spend(folder, one, begin + plan.options["budget_s"])


def spend(folder: Path, one: Callable[[Job], dict[str, Any]], end: float) -> None:
    """More rounds, of the cells that the noise still holds together, until all is settled or the time is up."""
    while True:
        known = store.read(folder)[0]
        cells = [Cell(**cell) for cell in next_round(known, end - time.monotonic())]
        if not cells:
            return
        number = 1 + max(record["repeat"] for record in known)
        say(f"round {number}: {len(cells)} cells are not settled, {max(0.0, end - time.monotonic()):.0f} s are left")
        for cell in random.Random(number).sample(cells, len(cells)):
            one(Job(cell, number))


def prove_cells(
    plan: Plan, folder: Path, cells: list[Cell], ready: dict[str, Environment]
) -> dict[Cell, dict[str, Any]]:
    """Cell -> {state, reason, hint, effect}, for cells whose backend can run; all checks go to `parity.jsonl`."""
    wanted = [cell for cell in cells if cell.backend in ready]
    proven = {}
    with (folder / "parity.jsonl").open("a") as file:
        known = oracles(plan, folder, wanted)
        for cell, found in prove_all(wanted, plan.backends, ready, known, folder / "jobs", plan.options):
            file.write(json.dumps({"cell": asdict(cell), **found}) + "\n")
            words = spoken(found["dialect"], cell.precision)
            changed = effect(task_of(plan, cell), inputs_of(folder, cell), words, work=False)
            proven[cell] = {**{name: found[name] for name in ("state", "reason", "hint")}, "effect": changed}
            if found["state"] != "ok":
                where = f"{cell.task} {cell.backend} {cell.mode} {cell.precision}"
                say(f"parity of {where}: {found['state']}: {found['reason']}")
    return proven


def progress(name: str, record: dict[str, Any], number: int, total: int, left_s: float) -> str:
    """One line on a job that ended, with an estimate of what is left."""
    what = f"[{number:{len(str(total))}}/{total}] {name:<35}"
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
    found = store.read_with_warnings(folder)
    if not all(record["state"] == "ok" for record in found):
        return CELL_FAILED
    return GATE_TRIPPED if any((record["parity"] or {}).get("state") == "failed" for record in found) else DONE
