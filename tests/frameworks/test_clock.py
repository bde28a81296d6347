"""The self-test detects a backend whose `sync` does not wait."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from crossframe.backends import discover
from crossframe.harness.machine.environments import make_environment
from crossframe.harness.selftest.clock import check_clock, select_clock_task
from crossframe.harness.selftest.step_timer import StepTimer
from crossframe.harness.worker.states import State
from tests.conftest import THIRD_PARTY

QUEUEING = ("mxnet", "jax")  # on the CPU, calls of the other two return when they are done


@pytest.mark.parametrize("name", QUEUEING)
def test_a_clock_without_a_barrier_is_detected(tmp_path: Path, name: str) -> None:
    backend = discover()[name]
    environment = make_environment(backend, "cpu")
    timer = StepTimer(tmp_path, sorted(os.sched_getaffinity(0)), "cpu", 300)
    task = select_clock_task()
    assert check_clock(timer, task, backend, environment).state == State.OK
    env_vars = {**backend.manifest.env_vars, "MISTAKES_WRAP": backend.module}
    spoilt = replace(
        backend,
        module="mistakes.backend",
        folder=THIRD_PARTY / "mistakes" / "backend",
        manifest=replace(backend.manifest, env_vars=env_vars),
    )
    check = check_clock(timer, replace(task, name=f"{task.name}+clock_no_barrier"), spoilt, environment)
    assert check.state == State.FAILED
    assert "after sync" in str(check.reason)
