"""`crossframe conformance NAME`: all checks of a built-in backend, applied to any backend, one named result a check.

Four groups: the contract (the module has the modes of its manifest), parity (every task in every mode against the
reference model), a small run of every task (it trains, the checks of its measured job pass, its checkpoint is exact, it
exports to ONNX or refuses to), and the clock (see `crossframe.harness.selftest.clock`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from crossframe.harness.parity import checks, verify
from crossframe.harness.parity.result import CellParity
from crossframe.harness.plan.plan import Plan
from crossframe.harness.records import store
from crossframe.harness.records.model import Record
from crossframe.harness.run import folder as run_folder
from crossframe.harness.run import run
from crossframe.harness.selftest.clock import select_clock_task, try_clock
from crossframe.harness.selftest.step_timer import StepTimer, device_for
from crossframe.harness.worker.states import State


class ConformanceState(StrEnum):
    """How a check ended; `unsupported`: the backend raised Unsupported with a reason."""

    PASSED = "passed"
    FAILED = "failed"
    UNSUPPORTED = "unsupported"


STATES = {State.OK: ConformanceState.PASSED, State.UNSUPPORTED: ConformanceState.UNSUPPORTED}  # others: failed


@dataclass(frozen=True)
class ConformanceResult:
    """The result of one check."""

    name: str
    state: ConformanceState
    reason: str | None = None


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
    """Yield the check of the backend's clock by the self-test, on the device of the plan; see `selftest.clock`."""
    (backend,) = plan.backends.values()
    device = device_for(backend, plan.device)
    with tempfile.TemporaryDirectory(prefix="crossframe-") as name:
        timer = StepTimer(Path(name), plan.options.cpus, device, plan.options.timeout_s)
        clock = try_clock(timer, select_clock_task(device), backend, find_interpreter(plan, backend.name))
    state = STATES.get(clock.state, ConformanceState.FAILED)
    yield ConformanceResult("selftest::clock", state, clock.reason)


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
    prefix = f"parity::{cell.task}[{cell.mode}]"
    if not result.checks:
        state = STATES.get(result.state, ConformanceState.FAILED)
        yield ConformanceResult(prefix, state, result.reason)
    for check in result.checks:
        reason = None if check.passed else checks.describe_check(check)
        if reason and result.hint and reason == result.reason:
            reason += f"; {result.hint}"
        yield ConformanceResult(f"{prefix}::{check.name}", judge(check.passed), reason)


def list_run_results(record: Record) -> Iterator[ConformanceResult]:
    """Yield the results of a small run of one task and mode."""
    prefix = f"run::{record.cell.task}[{record.cell.mode}]"
    if record.evaluation is None or record.state != State.OK:
        state = STATES.get(record.state, ConformanceState.FAILED)
        yield ConformanceResult(f"{prefix}::trains", state, record.reason)
        return
    onnx = record.evaluation.onnx
    yield ConformanceResult(f"{prefix}::trains", ConformanceState.PASSED)
    yield ConformanceResult(f"{prefix}::checkpoint", judge(record.measurements.checkpoint_exact))
    for check in record.evaluation.checks:
        yield ConformanceResult(f"{prefix}::{check.name}", judge(check.passed), check.detail)
    yield ConformanceResult(f"{prefix}::onnx", STATES.get(onnx.state, ConformanceState.FAILED), onnx.reason)
