"""How much a step has to do, and how much of it this device can do at most, measured in the same run.

The ceiling is the best of what all backends of the run reach at a large matrix product and at a large copy: see
`harness.measurement.ceiling`. It is kept in the run's `ceilings.json`.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

from backends import Backend, discover
from harness.environments import Environment
from harness.launch import launch
from harness.measurement import gpu
from harness.measurement.sampler import Sampler
from harness.messages import say
from harness.plan import Cell, Plan, task_of
from tasks.spec import Task

NAMES = ("flops_per_s", "bytes_per_s")
ORACLE = "reference"  # it brings NumPy, and has an environment on every machine
NUMPYS = ("float32", "float64")
PASSES_A_STEP = 3  # over the weights, at least: read forward, read and written by the update


def weight_bytes(precision: str) -> int:
    """Of one weight. Training in less than 32 bits keeps its weights in 32."""
    return 8 if precision == "float64" else 4


def train_flops(task: Task) -> int:
    """Floating-point operations of one sample in training, by the same count as `Task.flops`.

    Three times the forward pass: backward, each weight is used twice as often as forward, once for its own gradient
    and once for that of its input (Goodfellow, Bengio and Courville 2016, section 6.5). Less one use of the weights
    that the network's own input meets, whose gradient nobody needs.
    """
    layer, shape = next((layer, shape) for _, layer, shape in task.walk() if layer.parameters(shape))
    (entry, *_) = layer.fans(shape)
    return 3 * task.flops() - 2 * layer.uses(shape) * math.prod(layer.parameters(shape)[entry])


def train_bytes(task: Task, precision: str) -> int:
    """Bytes that one step must move at least: each weight is read forward, and read and written by the update."""
    return PASSES_A_STEP * weight_bytes(precision) * sum(map(math.prod, task.parameters().values()))


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
            program, timeout_s = "harness.measurement.ceiling", plan.options["timeout"]
            with Sampler(plan.device) as card:
                outcome = launch(environment.python, backend, job, where, timeout_s, program)
            if outcome.state != "ok":
                say(f"  {outcome.state}: {outcome.reason}")
            found = {**{key: outcome.measures.get(key) for key in NAMES}, "doubts": gpu.doubts(card.told())}
            known.append({"backend": name, **cell, "state": outcome.state, "reason": outcome.reason, **found})
    if len(known) > len(done):
        path.write_text(json.dumps({"measured": known}, indent=1) + "\n")
    return known


def of_cell(plan: Plan, cell: Cell, measured: list[dict[str, Any]]) -> dict[str, Any]:
    """What a step of a cell has to do; the ceilings, of products in its precision and any copy; doubts of these."""
    task = task_of(plan, cell)
    telling = {"flops_per_s": [one for one in measured if one["precision"] == cell.precision], "bytes_per_s": measured}
    ceilings = {
        f"ceiling_{name}": max((one[name] for one in telling[name] if one[name]), default=None) for name in NAMES
    }
    step = {"step_flops": train_flops(task) * task.batch_size, "step_bytes": train_bytes(task, cell.precision)}
    doubts = sorted({doubt for one in measured for doubt in one.get("doubts", [])})
    return {**step, **ceilings, "doubts": doubts}
