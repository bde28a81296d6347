"""How much a step has to do, and how much of it this device can do at most, measured in the same run.

The ceiling is the best of what all backends of the run reach at a large matrix product and at a large copy: see
`crossframe.harness.worker.ceiling`. It is kept in the run's `ceilings.json`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from crossframe.backends import Backend, discover
from crossframe.harness.analysis import gpu
from crossframe.harness.analysis.roofline import NAMES
from crossframe.harness.console import say
from crossframe.harness.launch.gpu_sampler import Sampler
from crossframe.harness.launch.launch import launch
from crossframe.harness.machine.environments import Environment
from crossframe.harness.plan.plan import Plan

ORACLE = "reference"  # it brings NumPy, and has an environment on every machine
NUMPYS = ("float32", "float64")


def candidates(plan: Plan, ready: dict[str, Environment], precision: str) -> dict[str, tuple[Backend, Environment]]:
    """Who measures the ceiling: on a CPU NumPy alone, which takes a second, if it can; else all that run there."""
    if plan.device == "cpu" and precision in NUMPYS:
        return {ORACLE: (discover()[ORACLE], Environment(Path(sys.executable)))}
    return {name: (backend, ready[name]) for name, backend in plan.backends.items() if name in ready}


def measure(plan: Plan, folder: Path, ready: dict[str, Environment], precisions: list[str]) -> list[dict[str, Any]]:
    """{backend, mode, precision, state, reason, flops_per_s, bytes_per_s, doubts}; what is known is not repeated."""
    path = folder / "ceilings.json"
    known: list[dict[str, Any]] = json.loads(path.read_text())["measured"] if path.exists() else []
    done = {(one["backend"], one["precision"]) for one in known}
    if plan.device == "cpu" and not {*precisions} & {*NUMPYS}:
        precisions = [*precisions, NUMPYS[0]]  # for its copy, of which precision says nothing
    for precision in precisions:
        for name, (backend, environment) in candidates(plan, ready, precision).items():
            if (name, precision) in done:
                continue
            say(f"measuring what {plan.device} can do at most in {precision}, by {name}")
            cell = {"mode": backend.modes[0], "device": plan.device, "precision": precision}
            job = {**cell, "module": backend.module, "cpus": plan.options["cpus"]}
            where = (folder / "jobs" / f"ceiling-{name}-{precision}").resolve()
            program, timeout_s = "crossframe.harness.worker.ceiling", plan.options["timeout"]
            with Sampler(plan.device) as card:
                outcome = launch(environment.python, backend, job, where, timeout_s, program)
            if outcome.state != "ok":
                say(f"  {outcome.state}: {outcome.reason}")
            found = {**{key: outcome.measures.get(key) for key in NAMES}, "doubts": gpu.doubts(card.told())}
            known.append({"backend": name, **cell, "state": outcome.state, "reason": outcome.reason, **found})
    if len(known) > len(done):
        path.write_text(json.dumps({"measured": known}, indent=1) + "\n")
    return known
