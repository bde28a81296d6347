"""The results of a self-test."""

from __future__ import annotations

from dataclasses import dataclass, field

from crossframe.harness.worker.states import State

STEP_S, FIRST_STEP_S, PEAK_BYTES = "step_s", "first_step_s", "host_peak_bytes"  # the metrics with a known cost


@dataclass(frozen=True)
class KnownCost:
    """A known cost and its measurement."""

    metric: str
    known: float
    measured: float
    deviation: float  # relative for seconds, absolute for bytes
    holder: str | None = None  # of memory: what holds it, as in `worker.known_cost`


@dataclass(frozen=True)
class ClockCheck:
    """Whether the steps of a backend take at least as long as their operations, and are finished after `sync`."""

    backend: str
    device: str
    state: State
    reason: str | None
    worked_s: float | None = None  # measured time of a step
    needed_s: float | None = None  # least time of its operations
    left_after_sync: float | None = None  # share of the time of the steps


@dataclass(frozen=True)
class EqualPairs:
    """Comparisons of a backend with itself, which must not be called different."""

    pairs: int
    called_different: int


@dataclass(frozen=True)
class SlowedPairs:
    """Comparisons of a backend with itself slowed down, which must be called different."""

    slowdown: float  # relative
    tries: int
    detected: int


@dataclass(frozen=True)
class SelftestReport:
    """The results of one self-test."""

    known_costs: list[KnownCost]
    clocks: list[ClockCheck]
    equal: EqualPairs
    slower: SlowedPairs
    smallest_slowdown: float | None  # the least that the noise lets be detected; None if no pair was compared
    created: str  # UTC, ISO 8601
    rounds: int  # processes of each side of a comparison
    candidate: str  # the backend of the known costs and the comparisons
    device: str  # of the candidate
    titles: dict[str, str] = field(default_factory=dict)  # backend -> framework; empty in older reports
