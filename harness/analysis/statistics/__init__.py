"""Intervals, ratios, tests and tiers. The unit is a process: samples within one process share its luck.

Everything except the cut of warm-up is computed on logarithms, since costs differ by factors: a variant is twice as
fast, not 3 ms faster. The functions take numbers; `crossframe.harness.analysis.ranking` reads them from records.
"""

from __future__ import annotations

from crossframe.harness.analysis.statistics.comparison import (
    POWER,
    Better,
    Comparison,
    Rounds,
    compare,
    round_effects,
    runs_needed,
    tiers,
)
from crossframe.harness.analysis.statistics.intervals import (
    LEVEL,
    difference,
    interval,
    list_intervals,
    mean,
    median_interval,
    steady,
)
from crossframe.harness.analysis.statistics.permutation_tests import (
    EXACT,
    draw_flips,
    fewest_rounds,
    holm,
    is_paired,
    joint_p,
    p_unpaired,
    p_value,
    paired_from,
    smallest_p,
)

__all__ = [
    "EXACT",
    "LEVEL",
    "POWER",
    "Better",
    "Comparison",
    "Rounds",
    "compare",
    "difference",
    "draw_flips",
    "fewest_rounds",
    "holm",
    "interval",
    "is_paired",
    "joint_p",
    "list_intervals",
    "mean",
    "median_interval",
    "p_unpaired",
    "p_value",
    "paired_from",
    "round_effects",
    "runs_needed",
    "smallest_p",
    "steady",
    "tiers",
]
