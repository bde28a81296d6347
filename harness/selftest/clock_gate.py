"""The clock checks of the self-test for the cells of a run: a cell whose clock can't be trusted is not ranked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import crossframe.backends
import crossframe.harness.launch
import crossframe.harness.selftest
import crossframe.harness.worker
import crossframe.tasks
from crossframe.backends import Backend
from crossframe.backends.contract import Precision
from crossframe.harness.console import Progress
from crossframe.harness.files import digest, make_folder, write_atomically
from crossframe.harness.machine.cache import cache_folder, read_cached
from crossframe.harness.machine.environments import Environment
from crossframe.harness.machine.host import fingerprint
from crossframe.harness.plan.plan import Plan
from crossframe.harness.records.codec import to_json, to_plain
from crossframe.harness.records.model import Cell, ParitySummary
from crossframe.harness.selftest.clock import find_clock_check
from crossframe.harness.selftest.model import ClockCheck
from crossframe.harness.selftest.step_timer import StepTimer
from crossframe.harness.worker.states import State

# The code that a result depends on, beside the folder of the backend.
PACKAGES = (
    crossframe.harness.launch,
    crossframe.harness.selftest,
    crossframe.harness.worker,
    crossframe.tasks,
)
TRIES = 2  # the check fails if it fails as often: on a busy machine one may fail by chance
# On a CPU the least time of the operations is known from products in float32, which are at least as fast as these.
CPU_PRECISIONS = (Precision.FLOAT32, Precision.FLOAT64)


@dataclass(frozen=True)
class Variant:
    """What a clock is checked for: a backend's mode on a device in a precision, whatever the task."""

    backend: str
    mode: str
    device: str
    precision: str


def check_clocks(
    plan: Plan, cells: Iterable[Cell], environments: Mapping[str, Environment], folder: Path
) -> dict[Cell, ClockCheck]:
    """Return the check of the clock for each cell whose backend can run, one process for each variant.

    Checks that ended well are kept in the cache. Jobs go to `folder`.
    """
    variants = {
        cell: Variant(cell.backend, cell.mode, cell.device, cell.precision)
        for cell in cells
        if cell.backend in environments and is_checked(cell)
    }
    checks: dict[Variant, ClockCheck] = {}
    distinct = list(dict.fromkeys(variants.values()))
    with Progress("checking clocks", [1.0] * len(distinct), unit="variants") as progress:
        for variant in distinct:
            name = f"{plan.backends[variant.backend].manifest.title} {variant.mode} {variant.precision}"
            progress.start_item(name)
            check = check_variant(plan, variant, plan.backends[variant.backend], environments[variant.backend], folder)
            checks[variant] = check
            text = f"clock of {name}: {check.state}" + (f": {check.reason}" if check.reason else "")
            progress.end_item(1.0, text, notable=check.state == State.FAILED)
    return {cell: checks[variant] for cell, variant in variants.items()}


def is_checked(cell: Cell) -> bool:
    """Return whether the least time of the operations of a cell is known."""
    return cell.device != "cpu" or cell.precision in CPU_PRECISIONS


def check_variant(plan: Plan, variant: Variant, backend: Backend, environment: Environment, folder: Path) -> ClockCheck:
    """Return the check of a variant, from the cache if it ended well before with the same code and machine."""
    cached = cached_check_path(variant, backend, environment)
    kept = read_cached(cached, ClockCheck)
    if kept is not None:
        return kept
    make_folder(folder)
    timer = StepTimer(
        folder.resolve(),
        plan.options.cpus,
        variant.device,
        plan.options.timeout_s,
        mode=variant.mode,
        precision=Precision(variant.precision),
    )
    for _ in range(TRIES):
        check = find_clock_check(timer, backend, environment.python)
        if check.state != State.FAILED:
            break
    if check.state == State.OK:
        write_atomically(cached, to_json(check))
    return check


def cached_check_path(variant: Variant, backend: Backend, environment: Environment) -> Path:
    """Return the path of a check in the cache; it depends on everything that the check depends on."""
    contract = Path(crossframe.backends.__path__[0]).glob("*.py")
    code = digest(backend.folder, *sorted(contract), *(Path(package.__path__[0]) for package in PACKAGES))
    host = fingerprint()
    key = json.dumps([to_plain(variant), code, str(environment.python), to_plain([host.cpu, host.gpus])])
    return cache_folder() / "clock" / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.json"


def withhold(parity: Mapping[Cell, ParitySummary], checks: Mapping[Cell, ClockCheck]) -> dict[Cell, ParitySummary]:
    """Return the verifications of cells, where those that were verified fail if their clock does."""
    summaries = dict(parity)
    for cell, check in checks.items():
        if check.state == State.FAILED and cell in parity and parity[cell].state == State.OK:
            summaries[cell] = replace(parity[cell], state=State.FAILED, reason=f"clock: {check.reason}")
    return summaries
