"""Measurement of the most that the device of a run can do, for the roofline; stored in `ceilings.json`.

The ceiling is the best of what all backends of the run reach in a large matrix product and a large copy: see
`crossframe.harness.worker.ceiling`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from crossframe.backends import Backend, discover
from crossframe.backends.contract import Precision
from crossframe.harness.analysis.gpu_warnings import find_caveats
from crossframe.harness.console import say
from crossframe.harness.files import below
from crossframe.harness.launch.gpu_sampler import GpuSampler
from crossframe.harness.launch.launch import launch
from crossframe.harness.machine.environments import Environment
from crossframe.harness.plan.plan import Plan
from crossframe.harness.records import store
from crossframe.harness.records.model import CeilingResult
from crossframe.harness.worker.jobs import CeilingJob
from crossframe.harness.worker.states import State

REFERENCE = "reference"  # runs NumPy, and has an environment on every machine
NUMPY_PRECISIONS = ("float32", "float64")


def ceiling_backends(
    plan: Plan, environments: Mapping[str, Environment], precision: str
) -> dict[str, tuple[Backend, Environment]]:
    """Return the backends that measure a ceiling, by name.

    On a CPU it is NumPy only, which takes a second, if NumPy has the precision; else all backends of the plan.
    """
    if plan.device == "cpu" and precision in NUMPY_PRECISIONS:
        return {REFERENCE: (discover()[REFERENCE], Environment(Path(sys.executable)))}
    return {name: (backend, environments[name]) for name, backend in plan.backends.items() if name in environments}


def measure_ceilings(
    plan: Plan, folder: Path, environments: Mapping[str, Environment], precisions: Sequence[str]
) -> list[CeilingResult]:
    """Return the ceilings of the device in each precision; those in `ceilings.json` are not measured again."""
    results = store.read_ceilings(folder)
    measured = {(result.backend, result.precision) for result in results}
    if plan.device == "cpu" and not {*precisions} & {*NUMPY_PRECISIONS}:
        precisions = [*precisions, NUMPY_PRECISIONS[0]]  # for the copy, which does not depend on the precision
    for precision in precisions:
        for name, (backend, environment) in ceiling_backends(plan, environments, precision).items():
            if (name, precision) not in measured:
                say(f"measuring the ceiling of {plan.device} in {precision} with {backend.manifest.title}")
                results.append(measure_ceiling(plan, folder, backend, environment, precision))
    if len(results) > len(measured):
        store.write_ceilings(folder, results)
    return results


def measure_ceiling(
    plan: Plan, folder: Path, backend: Backend, environment: Environment, precision: str
) -> CeilingResult:
    """Return the ceiling that one backend reaches in a precision."""
    job = CeilingJob(
        module=backend.module,
        packages=list(backend.manifest.packages),
        mode=backend.manifest.modes[0],
        device=plan.device,
        precision=Precision(precision),
        cpus=plan.options.cpus,
    )
    job_folder = below(folder.resolve(), "jobs", f"ceiling-{backend.name}-{precision}")
    with GpuSampler(plan.device) as sampler:
        outcome = launch(environment.python, backend, job, job_folder, plan.options.timeout_s)
    if outcome.state != State.OK:
        say(f"  {outcome.state}: {outcome.reason}")
    return CeilingResult(
        backend=backend.name,
        mode=job.mode,
        device=plan.device,
        precision=precision,
        state=outcome.state,
        reason=outcome.reason,
        flops_per_s=outcome.measurements.flops_per_s,
        bytes_per_s=outcome.measurements.bytes_per_s,
        caveats=find_caveats(sampler.samples()),
    )
