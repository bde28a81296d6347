"""The answer of a report in three sentences: what trains fastest where, what ties, what did not succeed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields

from crossframe.harness.analysis import statistics
from crossframe.harness.analysis.labels import cell_labels
from crossframe.harness.analysis.model import CellReport, RankedComparison
from crossframe.harness.analysis.ranking import group_by_family, is_verified
from crossframe.harness.records.model import Family
from crossframe.harness.report.ratios import Ratio
from crossframe.harness.worker.states import State

SPEED = "train_samples_per_s"
FIRST = 4  # names of a long list that are written out
MOST_REPEATS = 20  # that are suggested; more of them would take hours for a difference of a few per mille


def write_answer(report_cells: Sequence[CellReport], comparisons: Iterable[RankedComparison]) -> list[str]:
    """Return the answer in three sentences; one if nothing was measured."""
    if not report_cells:
        return ["Nothing was measured yet: continue with `crossframe run --resume RUN`."]
    labels = label_families(group_by_family(report_cells))
    fastest, ties = describe_fastest(report_cells, comparisons, labels), describe_ties(report_cells, labels)
    return [fastest, *([ties] if ties else []), describe_success(report_cells)]


def label_families(families: Iterable[Family]) -> dict[Family, str]:
    """Return the label of each family: its task, and the device, precision and batch size if the run has several."""
    members = list(dict.fromkeys(families))
    varied = [part.name for part in fields(Family)[1:] if len({getattr(family, part.name) for family in members}) > 1]
    prefixes = {"batch_size": "batch "}
    return {
        family: ", ".join([family.task, *(f"{prefixes.get(name, '')}{getattr(family, name)}" for name in varied)])
        for family in members
    }


def list_leaders(cells: Sequence[CellReport]) -> dict[Family, list[str]]:
    """Return family -> the variants in the first tier of training speed, the fastest first; [] if it has no tiers."""
    leaders = {}
    for family, members in group_by_family(cells).items():
        first = [cell for cell in members if cell.metrics[SPEED].tier == 1]
        first.sort(key=lambda cell: cell.metrics[SPEED].value or 0.0, reverse=True)
        leaders[family] = [cell.cell.variant for cell in first]
    return leaders


def describe_fastest(
    cells: Sequence[CellReport], comparisons: Iterable[RankedComparison], labels: Mapping[Family, str]
) -> str:
    """Return which variant trains fastest on which workload, and by how much; or that none does."""
    leaders = list_leaders(cells)
    if not any(leaders.values()):
        reasons = (cell.metrics[SPEED].tier_reason for cell in cells)
        return f"No training speed is ranked: {next(filter(None, reasons), 'nothing was measured')}."
    followers = find_followers(comparisons)
    clauses: dict[str, list[str]] = {}
    for family, names in leaders.items():
        if len(names) == 1:
            advantage = describe_advantage(followers.get((family, names[0])))
            clauses.setdefault(names[0], []).append(f"{labels[family]} {advantage}")
    if not clauses:
        return "No training speed is ahead beyond the noise."
    sentences = [f"{name} trains {shorten_list(parts)}" for name, parts in clauses.items()]
    return f"{shorten_list(sentences, '; ')}."


def find_followers(comparisons: Iterable[RankedComparison]) -> dict[tuple[Family, str], RankedComparison]:
    """Return (family, variant) -> its comparison with the variant that comes next in training speed."""
    followers: dict[tuple[Family, str], RankedComparison] = {}
    for pair in comparisons:
        if pair.metric == SPEED:
            key = (Family(pair.task, pair.device, pair.precision, pair.batch_size), pair.a)
            followers[key] = min(followers.get(key, pair), pair, key=lambda each: each.ratio)
    return followers


def describe_advantage(pair: RankedComparison | None) -> str:
    """Return the ratio of a comparison as `1.73x as fast as b (95 % interval 1.55 to 1.90)`."""
    if pair is None:
        return "fastest"
    ratio = Ratio(pair.ratio, pair.low, pair.high)
    interval = f" (95 % interval {ratio.interval})" if ratio.interval else ""
    return f"{ratio} as fast as {pair.b}{interval}"


def describe_ties(cells: Sequence[CellReport], labels: Mapping[Family, str]) -> str | None:
    """Return which variants share the first place where, and what is not ranked although something else is."""
    leaders = list_leaders(cells)
    ties: dict[str, list[str]] = {}
    for family, names in leaders.items():
        if len(names) > 1:
            ties.setdefault(join_names(names), []).append(labels[family])
    sentences = [f"{names} tie on {shorten_list(workloads)}" for names, workloads in ties.items()]
    unranked = [labels[family] for family, names in leaders.items() if not names]
    if unranked and len(unranked) < len(leaders):
        sentences.append(f"not ranked: {shorten_list(unranked)}")
    if not sentences:
        return "No first place is shared." if not unranked else None
    return f"{shorten_list(sentences, '; ')}."


def count_needed_repeats(
    cells: Sequence[CellReport], comparisons: Iterable[RankedComparison], repeats: int
) -> int | None:
    """Return how many repeats in all would decide more about training speed; None if nothing is known to need more.

    Either a ranking needs as many, or the estimate for two cells in the first place that are not yet distinguishable.
    """
    fewest = [statistics.fewest_rounds(math.comb(len(names), 2)) for names in list_candidates(cells) if len(names) > 1]
    if max(fewest, default=0) > repeats:
        return max(fewest)
    leaders = list_leaders(cells)
    more = [
        pair.more_runs
        for pair in comparisons
        if pair.metric == SPEED and pair.more_runs and pair.more_runs <= MOST_REPEATS
        for names in (leaders.get(Family(pair.task, pair.device, pair.precision, pair.batch_size), []),)
        if pair.a in names and pair.b in names
    ]
    return repeats + min(more) if more else None


def list_candidates(cells: Sequence[CellReport]) -> list[list[str]]:
    """Return the verified variants of each family."""
    families = group_by_family(cells).values()
    return [
        [cell.cell.variant for cell in members if cell.state == State.OK and is_verified(cell)] for members in families
    ]


def describe_success(cells: Sequence[CellReport]) -> str:
    """Return how many cells succeeded and were verified, and which did not."""
    succeeded = [cell for cell in cells if cell.state == State.OK]
    verified = [cell for cell in succeeded if is_verified(cell)]
    if len(verified) == len(cells):
        return f"All {len(cells)} cells succeeded and were verified to compute the same before they were measured."
    sentence = f"{len(succeeded)} of {len(cells)} cells succeeded and {len(verified)} were verified to compute the same"
    failures = [
        f"{' '.join(label)} ({cell.state})" for cell, label in zip(cells, cell_labels(cells)) if cell.state != State.OK
    ]
    without = f" Without success: {shorten_list(failures)}." if failures else ""
    return f"{sentence}; the others are shown, not ranked.{without}"


def join_names(names: Sequence[str]) -> str:
    """Return `a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def shorten_list(names: Sequence[str], separator: str = ", ") -> str:
    """Return the first names of a list that may be long, and how many follow."""
    more = f" and {len(names) - FIRST} more" if len(names) > FIRST else ""
    return separator.join(names[:FIRST]) + more
