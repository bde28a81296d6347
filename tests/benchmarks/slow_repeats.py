"""False alarms of the rule for slow repeats, by simulation: `python -m tests.benchmarks.slow_repeats`.

Both runs have the same share of slow repeats, by chance. Prints the share of pairs of runs in which any cell is called
slow, and the number of slow repeats of eight that the rule needs where the first run had none.
"""

from __future__ import annotations

import numpy as np

from crossframe.harness.console import markdown_table
from crossframe.harness.decision.regressions import SLOW_LEVEL, slow_p

TRIES, REPEATS = 1000, 8
SHARES = (0.001, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4)
CELLS = (1, 4, 16, 64)


def is_alarm(before: np.ndarray, after: np.ndarray, repeats: int) -> bool:
    """Return whether any cell is called slow, from the (cells,) numbers of slow repeats of both runs."""
    in_run, level = (int(before.sum()), repeats * len(before)), SLOW_LEVEL / len(before)
    return any(
        count >= 2 and slow_p(int(count), repeats, (int(own_count), repeats), in_run) <= level
        for count, own_count in zip(after, before)
    )


def share_of_alarms(cells: int, share: float, tries: int) -> float:
    """Return the share of equal pairs of runs that are called different."""
    generator = np.random.default_rng([cells, round(1000 * share)])
    drawn = generator.binomial(REPEATS, share, (tries, 2, cells))
    return sum(is_alarm(before, after, REPEATS) for before, after in drawn) / tries


def fewest_slow(cells: int) -> int:
    """Return the number of slow repeats of one cell that the rule needs, if the first run had none."""
    return next(n for n in range(2, 9) if slow_p(n, REPEATS, (0, REPEATS), (0, REPEATS * cells)) <= SLOW_LEVEL / cells)


def main() -> None:
    """Print the table."""
    rows = [
        [str(cells), str(fewest_slow(cells)), *(f"{share_of_alarms(cells, share, TRIES):.1%}" for share in SHARES)]
        for cells in CELLS
    ]
    headings = ["cells", "slow of 8 that it needs", *(f"{share:.1%} slow" for share in SHARES)]
    print("\n".join(markdown_table(headings, rows)))


if __name__ == "__main__":
    main()
