"""A sample of the states after a crash and of the calls that fail; `python -m tests.faults` tries all of them."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.faults.commands import StubWorkers
from tests.faults.crash_states import list_states, record_steps, try_states
from tests.faults.disk import Change, Node, Promise, Step, Sync, list_pending, list_trees, replay
from tests.faults.failing_calls import SCENARIOS, try_calls
from tests.faults.model import Fault

STATES = 12


def list_problems(faults: list[Fault]) -> list[str]:
    return [f"{fault.name}: {fault.problem}" for fault in faults if fault.problem]


def test_a_run_goes_on_after_a_crash(tmp_path: Path) -> None:
    workers = StubWorkers()
    steps = record_steps(tmp_path, workers)
    moments = random.Random(0).sample(range(len(steps)), STATES)
    states = [random.Random(moment).choice(list_states(steps, [moment])) for moment in moments]
    assert not list_problems(list(try_states(tmp_path, states, workers)))
    # Had nothing been synchronized, records that were promised would be lost.
    promised = next(number for number, step in enumerate(steps) if isinstance(step, Promise))
    unsynchronized = [step for step in steps[: promised + 1] if not isinstance(step, Sync)]
    lost = list_states(unsynchronized, [len(unsynchronized)])
    problems = list_problems(list(try_states(tmp_path, lost[:2], workers)))
    assert any("a whole record is lost" in problem for problem in problems)


def test_a_call_that_fails_is_named_and_harms_nothing(tmp_path: Path) -> None:
    faults = list(try_calls(tmp_path, [SCENARIOS[0]], most=1))
    assert len(faults) == 40
    assert not list_problems(faults)


FOLDER = Node(1, "folder", b"")
FILE = Node(2, "file", b"")


@pytest.fixture
def steps() -> list[Step]:
    """Return the steps of a file that is written, synchronized, renamed and, its folder apart, forgotten."""
    return [
        Change("run", FOLDER),
        Change("run/part", FILE),
        Change("", FILE._replace(content=b"whole")),
        Sync(2, "run/part"),
        Change("run/file", FILE, "run/part"),
        Sync(1, "run"),
    ]


def test_what_is_not_synchronized_may_be_lost(steps: list[Step]) -> None:
    assert list_pending(steps[:3]) == [0, 1, 2]
    assert list_pending(steps[:4]) == [0, 1]  # the content is there, its names may not be
    assert list_pending(steps) == [0]
    assert replay(steps, ()) == {"run": FOLDER, "run/file": FILE._replace(content=b"whole")}
    assert replay(steps, [4])["run/part"].content == b"whole"
    assert replay(steps, [0]) == {}  # a file without its folder


def test_a_write_may_be_torn(steps: list[Step]) -> None:
    trees = [tree for title, _, tree in list_trees(steps, [3]) if "torn" in title]
    assert [tree["run/part"].content for tree in trees] == [b"w", b"wh", b"whol", b"wh\0\0\0"]
