"""`crossframe selftest`: the measurement of known costs.

* known costs: steps of a known duration and allocations of a known size are compared with their measurements;
* clocks: the steps of each backend are compared with the least time of their operations, and no work may remain after
  `sync`;
* equal: a backend is compared with itself, which must be a tie;
* slower: a backend is compared with itself slowed down, which must be detected. The smallest slowdown that this machine
  can detect is estimated from the noise of the equal pairs.

With a GPU, clocks are tested on it, and so is a candidate that has a build for it. The default candidate, the NumPy
reference model, runs on the CPU.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from crossframe.backends import Backend, discover
from crossframe.harness.console import Progress
from crossframe.harness.files import write_atomically
from crossframe.harness.machine.cache import cache_folder, read_cached
from crossframe.harness.machine.environments import Environment, make_environment
from crossframe.harness.machine.gpus import refusal
from crossframe.harness.machine.host import fingerprint
from crossframe.harness.records import codec
from crossframe.harness.selftest.clock import select_clock_task, try_clock
from crossframe.harness.selftest.formats import summarize
from crossframe.harness.selftest.known_costs import measure_known_costs
from crossframe.harness.selftest.model import ClockCheck, SelftestReport
from crossframe.harness.selftest.pairs import PAIR_COST, ROUNDS, compare_equal, compare_slowed, smallest_slowdown
from crossframe.harness.selftest.step_timer import MeasurementError, StepTimer, device_for
from crossframe.harness.worker.states import State

TIMEOUT_S = 300  # of one process
# Expected costs in processes of the reference model, for the estimate of the remaining time.
KNOWN_COSTS_COST, CLOCK_COST = 15.0, 5.0


@dataclass(frozen=True, kw_only=True)
class SelftestOptions:
    """The options of a self-test."""

    backends: Sequence[str]  # whose clocks are tested
    candidate: str  # the backend of the known costs and the comparisons
    pairs: int  # comparisons of equal variants
    tries: int  # comparisons with a slowed variant
    cpus: list[int]
    device: str
    interpreters: Mapping[str, Path] = field(default_factory=dict)  # backend -> interpreter to use, as it is


def run_selftest(options: SelftestOptions) -> SelftestReport:
    """Run all parts of the self-test and store the report for later runs on this machine.

    MeasurementError if the candidate cannot be measured.
    """
    backends = discover()
    candidate = backends[options.candidate]
    device = device_for(candidate, options.device)
    python = options.interpreters.get(candidate.name)
    reason = None if python else refusal(candidate, device)
    if reason:
        raise MeasurementError(f"{candidate.manifest.title}: unsupported: {reason}")
    environment = Environment(python) if python else make_environment(candidate, device.partition(":")[0])
    pair_costs = [PAIR_COST] * (options.pairs + options.tries)
    costs = [KNOWN_COSTS_COST, *[CLOCK_COST] * len(options.backends), *pair_costs]
    with (
        tempfile.TemporaryDirectory(prefix="crossframe-") as folder,
        Progress("selftest", costs, unit="parts") as progress,
    ):
        timer = StepTimer(Path(folder), options.cpus, device, TIMEOUT_S)
        progress.start_item("known costs")
        known_costs = list(measure_known_costs(timer, candidate, environment))
        progress.end_item(KNOWN_COSTS_COST, "known costs are measured")
        clocks = [check_named_clock(timer, backends[name], options, progress) for name in options.backends]
        equal, spreads = compare_equal(timer, candidate, environment, options.pairs, progress)
        seeds = range(options.pairs, options.pairs + options.tries)
        slower = compare_slowed(timer, candidate, environment, seeds, progress)
    report = SelftestReport(
        known_costs=known_costs,
        clocks=clocks,
        equal=equal,
        slower=slower,
        smallest_slowdown=smallest_slowdown(spreads) if spreads else None,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        rounds=ROUNDS,
        candidate=candidate.name,
        device=device,
        titles={name: backend.manifest.title for name, backend in backends.items()},
    )
    write_atomically(report_path(device), codec.to_json(report))
    return report


def check_named_clock(timer: StepTimer, backend: Backend, options: SelftestOptions, progress: Progress) -> ClockCheck:
    """Check the clock of a backend on the device, or on the CPU if it has no builds."""
    name = f"clock of {backend.manifest.title}"
    progress.start_item(name)
    device = device_for(backend, options.device)
    python = options.interpreters.get(backend.name)
    check = try_clock(replace(timer, device=device), select_clock_task(device), backend, python)
    progress.end_item(CLOCK_COST, f"{name}: {check.state}", notable=check.state == State.FAILED)
    return check


def report_path(device: str) -> Path:
    """Return the path of the last report for a device of this machine."""
    host = fingerprint()
    suffix = "" if device == "cpu" else f"-{device}"
    return cache_folder() / "selftest" / f"{host.cpu}-{len(host.affinity)}{suffix}.json".replace("/", " ")


def last_summary(device: str) -> str | None:
    """Return the summary and the date of the last self-test on a device; None without a report of this version."""
    report = read_cached(report_path(device), SelftestReport)
    return None if report is None else f"{summarize(report)} ({report.created})"
