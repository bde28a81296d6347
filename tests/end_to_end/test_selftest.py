"""The self-test as a command, and the memory that it relies on."""

import json
from pathlib import Path

import numpy as np

from crossframe.backends import discover
from crossframe.harness.machine.environments import make_environment
from crossframe.harness.selftest.known_costs import select_smallest_task
from crossframe.harness.selftest.step_timer import StepTimer
from tests.conftest import Command


def test_a_short_selftest_measures_the_known_costs(crossframe: Command) -> None:
    done = crossframe("selftest", "--backend", "reference", "--pairs", 1, "--tries", 1, "--format", "json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    # No measurement may be less than the known cost; how much more it is depends on the noise of the machine.
    assert len(report["known_costs"]) == 3 + 3 + 7
    memory = [cost for cost in report["known_costs"] if cost["metric"] == "host_peak_bytes"]
    assert all(abs(cost["deviation"]) < 2e6 for cost in memory)
    assert all(cost["measured"] >= 0.99 * cost["known"] for cost in report["known_costs"])
    assert report["equal"]["pairs"] == report["slower"]["tries"] == 1
    assert report["smallest_slowdown"] > 0


def test_the_memory_of_the_parent_is_not_attributed_to_the_worker(tmp_path: Path) -> None:
    """`ru_maxrss` would include the peak of this process in that of a worker that it starts."""
    large = np.ones(800 << 20, np.uint8)
    reference, timer = discover()["reference"], StepTimer(tmp_path, [0], "cpu", 60)
    peak = timer.time_steps(select_smallest_task(), reference, make_environment(reference, "cpu")).host_peak_bytes
    assert len(large) == 800 << 20
    assert peak is not None
    assert 0 < peak < 400 << 20
