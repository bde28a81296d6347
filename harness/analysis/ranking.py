"""Which cells of a run are ahead of which, by figure; and which of them another round should measure.

Compared is what was asked to do the same: cells of one task, device, precision and batch size. Ranked is what ended
well and was proven equal; the rest says why not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median
from typing import Any

from crossframe.harness.analysis import metrics, statistics
from crossframe.harness.records.store import CELL_KEYS
from crossframe.tasks.widen import unscaled

Cell = dict[str, Any]
Record = dict[str, Any]
Key = tuple[Any, ...]

# Figure -> the ratio within which two cells are equal for practical ends. The repeats of a cell share weights and data,
# so their spread tells nothing of the luck of a trajectory: by rounding alone, proven cells were seen to end 1.2 %
# apart in accuracy and 8 % in mse. Hence the wider bands of both.
RANKED = {
    "step_s": 0.01,
    "train_samples_per_s": 0.01,
    "infer_latency_s": 0.01,
    "infer_samples_per_s": 0.01,
    "host_peak_bytes": 0.01,
    "time_to_target_s": 0.01,
    "first_step_s": 0.01,
    "onnx_bytes": 0.01,
    "accuracy": 0.05,
    "mse": 0.2,
}
# What the rates and the target of a task decide, which a scaled one keeps as they were.
OF_LEARNING = ("accuracy", "mse", "time_to_target_s")
WORTH_TIME = ("train_samples_per_s", "infer_latency_s")  # for which `next_round` spends a budget

FAMILY = ("task", "device", "precision", "batch_size")


def key_of(cell: Cell) -> Key:
    return tuple(cell[name] for name in CELL_KEYS)


def family_of(cell: Cell) -> Key:
    return tuple(cell[name] for name in FAMILY)


def candidate(cell: Cell) -> str:
    return f"{cell['backend']} {cell['mode']}"


def by_cell(records: Iterable[Record]) -> dict[Key, list[Record]]:
    groups: dict[Key, list[Record]] = {}
    for record in records:
        groups.setdefault(key_of(record["cell"]), []).append(record)
    return groups


def families(cells: list[Cell]) -> dict[Key, list[Cell]]:
    """Cells that were asked to do the same: (task, device, precision, batch size) -> cells."""
    found: dict[Key, list[Cell]] = {}
    for cell in cells:
        found.setdefault(family_of(cell), []).append(cell)
    return found


def counts(cell: Cell, metric: str) -> bool:
    """Whether a figure of a cell says something of its framework: how well a scaled task learns does not."""
    return metric not in OF_LEARNING or unscaled(cell["task"])[1] == 1


def unranked(cell: Cell, metric: str, rounds: statistics.Rounds, repeats: int) -> str | None:
    """Why a cell is not ranked by a figure; None if it is."""
    if cell["state"] != "ok":
        return f"the cell is {cell['state']}"
    if cell["parity"] is None:
        return "not proven equal: parity was not checked"
    if cell["parity"]["state"] != "ok":
        return f"not proven equal: parity is {cell['parity']['state']}"
    if cell["withheld"]:
        return f"budgets were not equal: {cell['withheld']}"
    if not counts(cell, metric):
        return "scaled for speed alone: rates and target are the unscaled task's"
    if not rounds:
        return str(cell["metrics"][metric]["reason"])
    if len(rounds) < repeats:
        return f"{repeats - len(rounds)} of {repeats} repeats have none"
    return "there is no ratio to 0" if min(rounds.values()) <= 0 else None


@dataclass(frozen=True)
class Family:
    """Cells that are compared by one figure: their rounds, by candidate, and why the others are not among them."""

    key: Key
    metric: str
    rounds: dict[str, statistics.Rounds]
    left_out: dict[str, str]

    @property
    def pairs(self) -> int:
        return len(self.rounds) * (len(self.rounds) - 1) // 2

    def compare(self) -> list[statistics.Comparison]:
        return statistics.compare(self.rounds, metrics.FIGURES[self.metric].better, RANKED[self.metric])

    def tiers(self, comparisons: list[statistics.Comparison]) -> dict[str, int | str]:
        """Candidate -> its tier, or why it has none."""
        if self.pairs == 0:
            return {**self.left_out, **dict.fromkeys(self.rounds, "nothing to compare it with")}
        fewest = statistics.fewest_rounds(self.pairs)
        enough = {name: rounds for name, rounds in self.rounds.items() if len(rounds) >= fewest}
        few = {
            name: f"not enough evidence: {len(rounds)} of at least {fewest} repeats"
            for name, rounds in self.rounds.items()
            if name not in enough
        }
        return {**self.left_out, **few, **statistics.tiers(enough, metrics.FIGURES[self.metric].better, comparisons)}


def family(key: Key, cells: list[Cell], records: dict[Key, list[Record]], metric: str) -> Family:
    rounds: dict[str, statistics.Rounds] = {}
    left_out = {}
    for cell in cells:
        own = records[key_of(cell)]
        read = {record["repeat"]: metrics.FIGURES[metric].read(record) for record in own if record["state"] == "ok"}
        values = {repeat: value for repeat, value in read.items() if value is not None}
        why = unranked(cell, metric, values, len(own))
        if why is None:
            rounds[candidate(cell)] = values
        else:
            left_out[candidate(cell)] = why
    return Family(key, metric, rounds, left_out)


def rank(cells: list[Cell], records: list[Record]) -> list[dict[str, Any]]:
    """Fill `tier` of every ranked figure of every cell, and return all comparisons, as the report's schema has them."""
    groups, told = by_cell(records), []
    for key, members in families(cells).items():
        for metric in RANKED:
            known = family(key, members, groups, metric)
            comparisons = known.compare()
            found = known.tiers(comparisons)
            for cell in members:
                tier = found[candidate(cell)]
                place = cell["metrics"][metric]
                place |= {"tier": tier} if isinstance(tier, int) else {"tier": None, "tier_reason": tier}
            told += [{**dict(zip(FAMILY, key)), "metric": metric, **vars(one)} for one in comparisons]
    return told


def next_round(records: list[Record], left_s: float) -> list[Cell]:
    """The cells that one more round should measure in the seconds that are left; none where it is time to stop.

    The rule: stop when every pair of ranked cells is settled in every figure of `WORTH_TIME`, or the time is up.
    Settled means shown equal, or separated firmly enough to have been looked at after every round. The pairs that need
    the fewest more rounds come first, and pairs are taken while the rounds that they need fit into the time.

    Give all cells of a round the same number, larger than any before: comparisons are paired by it.
    """
    groups = by_cell(records)
    wall_s = {key: median(record["wall_s"] for record in own) for key, own in groups.items()}
    open_pairs: list[tuple[int, Key, Key]] = []
    for key, members in families(metrics.cells(records, {})).items():
        place = {candidate(cell): key_of(cell) for cell in members}
        for metric in WORTH_TIME:
            for one in family(key, members, groups, metric).compare():
                more = one.more_runs or (1 if one.separated and not one.firm else 0)
                if more:
                    open_pairs.append((more, place[one.a], place[one.b]))
    chosen: dict[Key, int] = {}
    for more, *pair in sorted(open_pairs):
        wanted = chosen | {key: max(more, chosen.get(key, 0)) for key in pair}
        if chosen and sum(wall_s[key] * rounds for key, rounds in wanted.items()) > left_s:
            break
        chosen = wanted
    # Even where nothing can be settled any more, a whole round of what was chosen must still fit.
    if sum(wall_s[key] for key in chosen) > left_s:
        return []
    return [dict(zip(CELL_KEYS, key)) for key in groups if key in chosen]
