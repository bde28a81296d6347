"""Comparisons of a backend with itself, unchanged or slowed down, which show the differences that can be detected."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from crossframe.backends import Backend
from crossframe.harness.analysis import statistics
from crossframe.harness.console import Progress
from crossframe.harness.machine.environments import Environment
from crossframe.harness.selftest.known_costs import add_known_cost, select_smallest_task
from crossframe.harness.selftest.model import EqualPairs, SlowedPairs
from crossframe.harness.selftest.step_timer import StepTimer

SLOWDOWN = 1.05  # factor
ROUNDS = 2 * statistics.paired_from(1)
PAIR_COST = 2.0 * ROUNDS  # processes


@dataclass(frozen=True)
class PairResult:
    """The comparison of two variants, and the standard deviation of the logarithm of their ratio over the rounds."""

    comparison: statistics.Comparison
    spread: float


def compare_pair(
    timer: StepTimer, variants: tuple[Backend, Backend], environment: Environment, seed: int
) -> PairResult:
    """Compare two variants, `a` and `b`, over `ROUNDS` rounds, in random order within each round."""
    task = select_smallest_task()
    generator = np.random.default_rng(seed)
    rounds: dict[str, dict[int, float]] = {"a": {}, "b": {}}
    for number in range(ROUNDS):
        for index in generator.permutation(2):
            epochs = timer.time_steps(task, variants[index], environment).epochs
            steady_s = statistics.steady([epoch.train_s / epoch.steps for epoch in epochs])
            rounds["ab"[index]][number] = float(np.mean(steady_s))
    (comparison,) = statistics.compare(rounds, "less", 0.0)
    ratios = np.log([rounds["a"][number] / rounds["b"][number] for number in range(ROUNDS)])
    return PairResult(comparison, float(ratios.std(ddof=1)))


def compare_equal(
    timer: StepTimer, backend: Backend, environment: Environment, pairs: int, progress: Progress
) -> tuple[EqualPairs, list[float]]:
    """Compare a backend with itself `pairs` times; return the counts and the spread of each pair."""
    variant, spreads, called_different = add_known_cost(backend), [], 0
    for number in range(pairs):
        progress.start_item("equal variants")
        result = compare_pair(timer, (variant, variant), environment, seed=number)
        called_different += result.comparison.separated
        spreads.append(result.spread)
        answer = "called different" if result.comparison.separated else "tied"
        progress.end_item(PAIR_COST, f"equal variants: {answer}")
    return EqualPairs(pairs, called_different), spreads


def compare_slowed(
    timer: StepTimer, backend: Backend, environment: Environment, seeds: Sequence[int], progress: Progress
) -> SlowedPairs:
    """Compare a backend with itself slowed down, once for each seed."""
    variants = add_known_cost(backend), add_known_cost(backend, slowdown=SLOWDOWN)
    detected = 0
    for seed in seeds:
        progress.start_item(f"one variant {SLOWDOWN - 1:.0%} slower")
        comparison = compare_pair(timer, variants, environment, seed).comparison
        is_detected = comparison.separated and comparison.b == "b"
        detected += is_detected
        answer = "detected" if is_detected else "missed"
        progress.end_item(PAIR_COST, f"one variant {SLOWDOWN - 1:.0%} slower: {answer}")
    return SlowedPairs(SLOWDOWN - 1, len(seeds), detected)


def smallest_slowdown(spreads: Sequence[float]) -> float:
    """Return the least relative slowdown that `ROUNDS` rounds detect with power 0.8, given the spreads of equal pairs.

    The formula is that of `crossframe.harness.analysis.statistics.runs_needed`.
    """
    z = special.ndtri(1 - statistics.LEVEL / 2) + special.ndtri(statistics.POWER)
    return math.exp(z * float(np.median(spreads)) * math.sqrt(math.pi / 2 / ROUNDS)) - 1
