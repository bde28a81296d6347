"""`run --mode best`: a short trial of every mode, then the fastest of each framework and task is measured with care."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from crossframe.backends.contract import Precision
from crossframe.harness.console import Progress
from crossframe.harness.machine.environments import Environment
from crossframe.harness.plan.plan import Plan, task_for
from crossframe.harness.plan.readiness import prepare_environments
from crossframe.harness.records.model import Cell, ModeTrial
from crossframe.harness.selftest.step_timer import MeasurementError, StepTimer


def try_modes(plan: Plan) -> list[ModeTrial]:
    """Return the trial of each cell of a plan: pipelined training steps in one process, some tenths of a second."""
    cells = list(dict.fromkeys(job.cell for job in plan.jobs))
    environments, missing = prepare_environments(plan, {cell.backend for cell in cells})
    trials = []
    with Progress("trying modes", [1.0] * len(cells)) as progress:
        for cell in cells:
            name = f"{cell.task} {plan.backends[cell.backend].manifest.title} {cell.mode}"
            progress.start_item(name)
            if cell.backend in missing:
                trial = ModeTrial(cell, None, missing[cell.backend][1])
            else:
                trial = try_cell(plan, cell, environments)
            trials.append(trial)
            result = f"{trial.step_s:.2g} s a step" if trial.step_s is not None else str(trial.reason)
            progress.end_item(1.0, f"{name}: {result}")
    return trials


def try_cell(plan: Plan, cell: Cell, environments: Mapping[str, Environment]) -> ModeTrial:
    """Return the trial of one cell."""
    with tempfile.TemporaryDirectory(prefix="crossframe-") as folder:
        timer = StepTimer(
            Path(folder),
            plan.options.cpus,
            cell.device,
            plan.options.timeout_s,
            mode=cell.mode,
            precision=Precision(cell.precision),
        )
        try:
            timed = timer.time_steps(task_for(plan, cell), plan.backends[cell.backend], environments[cell.backend])
        except MeasurementError as error:
            return ModeTrial(cell, None, str(error))
    return ModeTrial(cell, float(np.median([epoch.train_s / epoch.steps for epoch in timed.epochs])), None)


def choose_modes(plan: Plan, trials: Sequence[ModeTrial]) -> Plan:
    """Return the plan with the fastest mode of each framework and workload; with the first where no mode ran."""
    fastest: dict[Cell, ModeTrial] = {}  # by the cell without its mode
    for trial in trials:
        workload = replace(trial.cell, mode="")
        before = fastest.setdefault(workload, trial)
        if trial.step_s is not None and (before.step_s is None or trial.step_s < before.step_s):
            fastest[workload] = trial
    chosen = {trial.cell for trial in fastest.values()}
    return replace(plan, jobs=tuple(job for job in plan.jobs if job.cell in chosen))
