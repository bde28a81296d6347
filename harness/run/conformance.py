"""`crossframe conformance NAME`: all checks of a built-in backend, applied to any backend, one named result a check.

Four groups: the contract (the module has the modes of its manifest), parity (every task in every mode against the
reference model), a small run of every task (it trains, the checks of its measured job pass, its checkpoint is exact, it
exports to ONNX or refuses to), and the clock (see `crossframe.harness.selftest.clock`).

A backend may refuse a layer, an optimizer or the export: tasks that don't need it can be verified and ranked.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from crossframe.harness.parity import checks, verify
from crossframe.harness.parity.result import CellParity
from crossframe.harness.plan.plan import Plan
from crossframe.harness.records import store
from crossframe.harness.records.model import Cell, Record
from crossframe.harness.run import folder as run_folder
from crossframe.harness.run import run
from crossframe.harness.selftest.clock import find_clock_check
from crossframe.harness.selftest.step_timer import StepTimer, device_for
from crossframe.harness.worker.states import State


class ConformanceState(StrEnum):
    """How a check ended; `unsupported`: the backend raised Unsupported with a reason."""

    PASSED = "passed"
    FAILED = "failed"
    UNSUPPORTED = "unsupported"


EXPORTS = "`crossframe portability`, and `crossframe decide --require exports`,"
PARITY = "parity"  # the group of the checks that verify
STATES = {State.OK: ConformanceState.PASSED, State.UNSUPPORTED: ConformanceState.UNSUPPORTED}  # others: failed


@dataclass(frozen=True)
class ConformanceResult:
    """The result of one check."""

    name: str
    state: ConformanceState
    reason: str | None = None
    opens: str | None = None  # what an unsupported part would make possible


@dataclass(frozen=True)
class ConformanceSummary:
    """What the results of a backend come to."""

    counts: dict[str, int]  # state -> results
    verified: list[str]  # `task[mode]`, of which every check of parity passed
    missing: dict[str, str]  # what an unsupported part would make possible -> why it is unsupported

    @property
    def conforms(self) -> bool:
        """Whether no check failed and at least one task was verified."""
        return bool(self.verified) and not self.counts[ConformanceState.FAILED]


def summarize_results(results: Iterable[ConformanceResult]) -> ConformanceSummary:
    """Return the counts of results, the tasks that were verified, and what is missing."""
    counts = dict.fromkeys(map(str, ConformanceState), 0)
    cells: dict[str, bool] = {}
    missing: dict[str, str] = {}
    for result in results:
        counts[result.state] += 1
        group, cell, *_ = result.name.split("::")
        if group == PARITY and not result.opens:
            cells[cell] = cells.get(cell, True) and result.state == ConformanceState.PASSED
        if result.opens:
            missing.setdefault(result.opens, result.reason or "")
    return ConformanceSummary(counts, sorted(cell for cell, passed in cells.items() if passed), missing)


def check_conformance(plan: Plan) -> Iterator[ConformanceResult]:
    """Yield the results. The plan has one backend, all its modes, and the tasks to check."""
    (backend,) = plan.backends.values()
    results = verify.verify_parity(plan, seed=0, compute_effects=False)
    modes = next((each.result.modes for each in results if each.result.modes), None)
    if modes is not None:
        same = modes == list(backend.manifest.modes)
        reason = None if same else f"backend.toml has {list(backend.manifest.modes)}, the module has {modes}"
        yield ConformanceResult("contract::modes", judge(same), reason)
    for each in results:
        yield from list_parity_results(each)
    with tempfile.TemporaryDirectory(prefix="crossframe-") as name:
        folder = Path(name)
        run_folder.start_run(plan, folder)
        run.execute(plan, folder, set())
        for record in store.read(folder)[0]:
            yield from list_run_results(record)
    yield from check_clocks(plan)


def check_clocks(plan: Plan) -> Iterator[ConformanceResult]:
    """Yield the check of the clock by the self-test in each mode of the plan; see `selftest.clock`."""
    (backend,) = plan.backends.values()
    device = device_for(backend, plan.device)
    for mode in dict.fromkeys(job.cell.mode for job in plan.jobs):
        with tempfile.TemporaryDirectory(prefix="crossframe-") as name:
            timer = StepTimer(Path(name), plan.options.cpus, device, plan.options.timeout_s, mode=mode)
            clock = find_clock_check(timer, backend, find_interpreter(plan, backend.name))
        state = STATES.get(clock.state, ConformanceState.FAILED)
        yield ConformanceResult(f"selftest::clock[{mode}]", state, clock.reason)


def find_interpreter(plan: Plan, backend: str) -> Path | None:
    """Return the interpreter that the options give for a backend; None for its own environment."""
    python = plan.options.python.get(backend)
    return Path(python) if python else None


def judge(passed: bool | None) -> ConformanceState:
    """Return `passed` or `failed`."""
    return ConformanceState.PASSED if passed else ConformanceState.FAILED


def list_parity_results(parity: CellParity) -> Iterator[ConformanceResult]:
    """Yield one result for each probe and kind of check, or a single one if the probes did not run."""
    cell, result = parity.cell, parity.result
    prefix = f"{PARITY}::{name_cell(cell)}"
    if not result.checks:
        yield make_result(prefix, result.state, result.reason, describe_cell(cell))
    for check in result.checks:
        reason = None if check.passed else checks.describe_check(check)
        if reason and result.hint and reason == result.reason:
            reason += f"; {result.hint}"
        yield ConformanceResult(f"{prefix}::{check.name}", judge(check.passed), reason)
    for optimizer, reason in result.missing_optimizers.items():
        opens = f"tasks that use {optimizer} in mode {cell.mode}"
        yield ConformanceResult(f"{prefix}::{optimizer}", ConformanceState.UNSUPPORTED, reason, opens)


def list_run_results(record: Record) -> Iterator[ConformanceResult]:
    """Yield the results of a small run of one task and mode."""
    cell = record.cell
    prefix = f"run::{name_cell(cell)}"
    if record.evaluation is None or record.state != State.OK:
        yield make_result(f"{prefix}::trains", record.state, record.reason, describe_cell(cell))
        return
    yield ConformanceResult(f"{prefix}::trains", ConformanceState.PASSED)
    yield ConformanceResult(f"{prefix}::checkpoint", judge(record.measurements.checkpoint_exact))
    for check in record.evaluation.checks:
        yield ConformanceResult(f"{prefix}::{check.name}", judge(check.passed), check.detail)
    onnx = record.evaluation.onnx
    if onnx is not None:
        yield make_result(f"{prefix}::onnx", onnx.state, onnx.reason, f"{EXPORTS} in mode {cell.mode}")


def name_cell(cell: Cell) -> str:
    return f"{cell.task}[{cell.mode}]"


def describe_cell(cell: Cell) -> str:
    return f"the task {cell.task} in mode {cell.mode}"


def make_result(name: str, state: State, reason: str | None, opens: str) -> ConformanceResult:
    """Return the result of a part that a backend may refuse."""
    outcome = STATES.get(state, ConformanceState.FAILED)
    return ConformanceResult(name, outcome, reason, opens if outcome == ConformanceState.UNSUPPORTED else None)
