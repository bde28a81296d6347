"""The clock checks of a run: which cells they withhold, and when they are taken from the cache."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from crossframe.backends import Backend, read_backend
from crossframe.harness.machine.environments import Environment
from crossframe.harness.plan.plan import Plan
from crossframe.harness.records.model import Cell, ParitySummary
from crossframe.harness.selftest import clock, clock_gate
from crossframe.harness.selftest.clock import select_clock_task
from crossframe.harness.selftest.model import ClockCheck
from crossframe.harness.worker.states import State
from crossframe.tasks.spec import LSTM, Dense, LastStep
from tests.conftest import THIRD_PARTY

PYTHON = Environment(Path(sys.executable))
CELLS = {mode: Cell("circle", "overdue", mode, "cpu", "float32", 64) for mode in ("honest", "lazy", "skips")}
# As many operations per parameter, with a step of a twentieth of the time.
SMALL_TASK = replace(select_clock_task(), layers=(LSTM(64), LastStep(), Dense(10)))
VERIFIED = ParitySummary(State.OK, None, None)


def make_plan(backend: Backend) -> Plan:
    """Return the parts of a plan that the checks need."""
    options = SimpleNamespace(cpus=sorted(os.sched_getaffinity(0))[:1], timeout_s=300)
    return cast(Plan, SimpleNamespace(backends={"overdue": backend}, options=options))


@pytest.fixture
def overdue(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Backend:
    """Return the backend that does its work while the clock does not run, with an empty cache."""
    monkeypatch.setattr(clock_gate, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(clock, "list_clock_tasks", lambda _: [SMALL_TASK])
    return read_backend("overdue", "overdue", THIRD_PARTY / "overdue")


@pytest.mark.frameworks  # measures for seconds
def test_a_cell_whose_clock_fails_is_not_ranked(overdue: Backend, tmp_path: Path) -> None:
    checks = clock_gate.check_clocks(make_plan(overdue), CELLS.values(), {"overdue": PYTHON}, tmp_path / "clock")
    parity = clock_gate.withhold(dict.fromkeys(CELLS.values(), VERIFIED), checks)
    assert parity[CELLS["honest"]] == VERIFIED
    for mode, reason in (("lazy", "after sync"), ("skips", "its operations take")):
        assert parity[CELLS[mode]].state == State.FAILED
        assert reason in str(parity[CELLS[mode]].reason)


def test_a_check_that_ended_well_is_kept(overdue: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def check_clock(timer: Any, backend: Backend, python: Path) -> ClockCheck:
        calls.append(timer.mode)
        return ClockCheck(backend.name, "cpu", State.OK if timer.mode == "honest" else State.FAILED, None)

    monkeypatch.setattr(clock_gate, "find_clock_check", check_clock)
    for _ in range(2):
        clock_gate.check_clocks(make_plan(overdue), CELLS.values(), {"overdue": PYTHON}, tmp_path / "clock")
    failing = [mode for mode in ("lazy", "skips") for _ in range(clock_gate.TRIES)]
    assert calls == ["honest", *failing, *failing]
    cached = next((tmp_path / "cache" / "clock").iterdir())
    cached.write_text("")  # torn
    clock_gate.check_clocks(make_plan(overdue), [CELLS["honest"]], {"overdue": PYTHON}, tmp_path / "clock")
    assert calls[-1] == "honest"


def test_cells_without_a_known_least_time_are_not_checked(overdue: Backend, tmp_path: Path) -> None:
    cell = replace(CELLS["lazy"], precision="bfloat16")
    assert clock_gate.check_clocks(make_plan(overdue), [cell], {"overdue": PYTHON}, tmp_path) == {}
    assert clock_gate.check_clocks(make_plan(overdue), [CELLS["lazy"]], {}, tmp_path) == {}


def test_a_failed_parity_keeps_its_reason() -> None:
    failed = ParitySummary(State.FAILED, "weights differ", None)
    check = ClockCheck("overdue", "cpu", State.FAILED, "too fast")
    assert clock_gate.withhold({CELLS["lazy"]: failed}, {CELLS["lazy"]: check}) == {CELLS["lazy"]: failed}


def test_cells_that_were_not_verified_or_not_checked_stay_as_they_are() -> None:
    lazy, honest = CELLS["lazy"], CELLS["honest"]
    failed, refused = (ClockCheck("overdue", "cpu", state, "no") for state in (State.FAILED, State.UNSUPPORTED))
    assert clock_gate.withhold({}, {lazy: failed}) == {}  # as with --no-parity
    assert clock_gate.withhold({lazy: VERIFIED}, {}) == {lazy: VERIFIED}
    assert clock_gate.withhold({lazy: VERIFIED}, {lazy: refused}) == {lazy: VERIFIED}
    before = {lazy: VERIFIED, honest: VERIFIED}
    assert clock_gate.withhold(before, {lazy: failed}) == {
        lazy: replace(VERIFIED, state=State.FAILED, reason="clock: no"),
        honest: VERIFIED,
    }
    assert before[lazy] == VERIFIED  # the verifications themselves are not changed
