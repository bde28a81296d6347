"""Error rates of the comparison of variants, by simulation: `python -m tests.benchmarks.power [FAMILIES]`.

Prints two tables in Markdown: how many of 300 families of equal variants are called different, and how often a slowdown
of 5 % is detected, by the present rule and by the rule before it (unpaired below 11 rounds, paired from there on).
Takes about an hour on one processor; 30 families take a tenth of it.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from crossframe.harness.analysis import statistics
from crossframe.harness.analysis.statistics import LEVEL, Rounds
from crossframe.harness.console import markdown_table

FAMILIES, SLOWDOWN, BAND = 300, 1.05, 0.01
ROUNDS = range(4, 13)
PAIRED_BEFORE = 11  # rounds

Noise = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
# Logarithms of the noise of a process, as clocks on shared machines show it.
NOISE: dict[str, Noise] = {
    "normal": lambda g, shape: 0.02 * g.normal(size=shape),
    "skewed": lambda g, shape: 0.05 * g.exponential(size=shape),
    "bimodal": lambda g, shape: 0.003 * g.normal(size=shape) + 0.1 * (g.random(shape) < 0.4),
    "heavy tails": lambda g, shape: 0.01 * np.clip(g.standard_cauchy(size=shape), -100, 100),
    # The first variant has five times the noise of the last; ratios between them are geometric.
    "unequal": lambda g, shape: 0.01 * np.geomspace(5, 1, shape[0])[:, None] * g.normal(size=shape),
    # In each round, something disturbs one process.
    "disturbed": lambda g, shape: (
        0.003 * g.normal(size=shape) + 0.1 * (np.arange(shape[0])[:, None] == g.integers(0, shape[0], shape[1]))
    ),
}


@dataclass(frozen=True)
class Setting:
    """A kind of family: the number of variants, their noise, and the drift of the machine from round to round."""

    variants: int
    noise: str
    drift: float

    @property
    def pairs(self) -> int:
        """The number of pairs of variants."""
        return self.variants * (self.variants - 1) // 2


SETTINGS = [Setting(count, noise, drift) for count in (2, 3, 4, 6) for noise in NOISE for drift in (0.0, 0.03)]
SETTINGS += [Setting(10, "normal", 0.0), Setting(10, "normal", 0.03)]
# Each round disturbs one of the two; 2 of 2^4 times it is the same in four rounds, which no test can tell from noise.
UNDECIDABLE = [Setting(2, "disturbed", 0.0), Setting(2, "disturbed", 0.03)]
POWER_SETTINGS = [Setting(count, "normal", drift) for drift in (0.03, 0.0) for count in (2, 3, 4, 6, 10)]


def draw_family(generator: np.random.Generator, setting: Setting, n: int, slowdown: float = 1.0) -> dict[str, Rounds]:
    """Return variants of equal cost over n rounds, of which the second is slower by a factor."""
    logarithms = NOISE[setting.noise](generator, (setting.variants, n)) + setting.drift * generator.normal(size=n)
    logarithms[1] += np.log(slowdown)
    return {f"v{index}": dict(enumerate(values)) for index, values in enumerate(np.exp(logarithms).tolist())}


def find_separated(family: Mapping[str, Rounds]) -> set[frozenset[str]]:
    """Return the pairs that are separated."""
    return {frozenset((pair.a, pair.b)) for pair in statistics.compare(family, "less", BAND) if pair.separated}


def find_separated_before(family: Mapping[str, Rounds]) -> set[frozenset[str]]:
    """Return the pairs that the rule before separated."""
    logarithms = {name: np.log(list(rounds.values())) for name, rounds in family.items()}
    pairs = list(combinations(logarithms, 2))
    separated = set()
    for (a, b), p in zip(pairs, statistics.holm([p_before(logarithms[a], logarithms[b]) for a, b in pairs])):
        differences = logarithms[a] - logarithms[b]
        low, high = statistics.median_interval(differences)
        if p < LEVEL and not low <= 0 <= high and abs(np.median(differences)) > np.log1p(BAND):
            separated.add(frozenset((a, b)))
    return separated


def p_before(a: np.ndarray, b: np.ndarray) -> float:
    """Return the p of the rule before."""
    if len(a) < PAIRED_BEFORE:
        return statistics.p_unpaired(a, b)
    sums = np.abs(statistics.draw_flips(len(a)) @ (a - b))
    return float(np.mean(sums >= sums[0] - 1e-12))


def share_called_different(setting: Setting, n: int, families: int) -> float:
    """Return the share of families of equal variants in which any pair is separated."""
    generator = np.random.default_rng(
        [n, setting.variants, list(NOISE).index(setting.noise), round(setting.drift * 100)]
    )
    return sum(bool(find_separated(draw_family(generator, setting, n))) for _ in range(families)) / families


def share_detected(setting: Setting, n: int, families: int) -> tuple[float, float]:
    """Return the share of families in which the slowed variant is separated from the first: before, and now."""
    generator = np.random.default_rng([n, setting.variants])
    drawn = [draw_family(generator, setting, n, SLOWDOWN) for _ in range(families)]
    slowed = frozenset(("v0", "v1"))
    return (
        sum(slowed in find_separated_before(family) for family in drawn) / families,
        sum(slowed in find_separated(family) for family in drawn) / families,
    )


def main(families: int) -> int:
    """Print both tables; return 1 if a setting calls more families different than 5 % and three standard errors."""
    headings = ["variants", "noise", "drift", *map(str, ROUNDS)]
    rows, largest = [], 0.0
    for setting in SETTINGS:
        row = [str(setting.variants), setting.noise, f"{setting.drift:.0%}"]
        for n in ROUNDS:
            enough = n >= statistics.fewest_rounds(setting.pairs)
            share = share_called_different(setting, n, families) if enough else None
            row.append("" if share is None else f"{share:.1%}")
            if setting not in UNDECIDABLE:
                largest = max(largest, share or 0.0)
        rows.append(row)
        print(" | ".join(row), file=sys.stderr, flush=True)
    print("\n".join(markdown_table(headings, rows)), f"\nlargest: {largest:.1%}\n", flush=True)
    rows = []
    for setting in POWER_SETTINGS:
        row = [str(setting.variants), "normal, 2 %", f"{setting.drift:.0%}"]
        for n in ROUNDS:
            enough = n >= statistics.fewest_rounds(setting.pairs)
            shares = share_detected(setting, n, families) if enough else None
            row.append(f"{shares[0]:.0%} → {shares[1]:.0%}" if shares else "")
        rows.append(row)
        print(" | ".join(row), file=sys.stderr, flush=True)
    print("\n".join(markdown_table(headings, rows)))
    return int(largest > LEVEL + 3 * math.sqrt(LEVEL * (1 - LEVEL) / families))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else FAMILIES))
