"""What a run lost against an earlier one, beside metrics that became worse.

A cell is gone or ends in another state, its parity or export fails, the target is not reached, quality leaves its band,
the weights leave the reference model, or some of the repeats are slow. A mean or a median shows none of these.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from crossframe.harness.analysis.labels import name_metric
from crossframe.harness.analysis.metrics import METRICS, MetricDefinition
from crossframe.harness.analysis.ranking import RANKED
from crossframe.harness.analysis.statistics import LEVEL
from crossframe.harness.decision.comparison import Regression, RegressionKind
from crossframe.harness.parity.tolerances import POOLED, RECURRENT, TOLERANCES, tolerances_for
from crossframe.harness.records.model import Cell, Record
from crossframe.harness.worker.probes import EPOCH, Probe
from crossframe.harness.worker.states import State
from crossframe.tasks.spec import from_json

Cells = Mapping[Cell, Sequence[Record]]
Outcome = tuple[str, str | None]  # state and reason

NOT_CHECKED = "not checked"
# A backend that is added to a run may lack a mode or an environment. That is no failure.
NO_FAILURES = (State.UNSUPPORTED, State.NOT_INSTALLED, State.SKIPPED)
QUALITY = ("accuracy", "mse")
TIMES = ("step_s", "train_samples_per_s", "infer_latency_s", "infer_samples_per_s", "first_step_s", "time_to_target_s")
SLOW = 1.5  # a repeat is slow if it takes this many times the median of its cell in the first run
FEWEST_REPEATS = 4  # below it, no test of this program decides anything
# The slow repeats of the run in `results/`, by any of TIMES, and all of its repeats. A first run without slow repeats
# counts as if it had these, too: on its own, a run of one cell could not tell 3 slow repeats of 8 from chance.
PRIOR_SLOW, PRIOR_REPEATS = 2, 80
SLOW_LEVEL = LEVEL / 2  # at 5 %, a run of one cell with many slow repeats by nature would raise 9 % false alarms
GROWTH = 2.0  # the distance from the reference model may double before it counts as larger


def find_regressions(a: Cells, b: Cells, specs: Mapping[str, Any]) -> list[Regression]:
    """Return what the second run lost, by cell; `specs` are the specifications of its tasks in plain JSON."""
    return [*_find_lost_cells(a, b), *_find_changed_cells(a, b, specs), *_find_slow_repeats(a, b)]


def exact_p(count: int, n: int, reference_count: int, reference_n: int) -> float:
    """Return the probability of at least `count` of all counted among n repeats, if both groups are alike.

    That is the exact test of Fisher 1934, one-sided.
    """
    total = count + reference_count
    cases = sum(math.comb(n, j) * math.comb(reference_n, total - j) for j in range(count, min(n, total) + 1))
    return cases / math.comb(n + reference_n, total)


def _find_lost_cells(a: Cells, b: Cells) -> Iterator[Regression]:
    for cell in sorted(a.keys() - b.keys()):
        if all(record.state == State.OK for record in a[cell]):
            yield Regression(cell, RegressionKind.GONE, "is gone")
    for cell in sorted(b.keys() - a.keys()):
        failed = [record for record in b[cell] if record.state not in (State.OK, *NO_FAILURES)]
        if failed:
            detail = f"is new, and {failed[0].state} in {_count(failed, b[cell])}: {failed[0].reason}"
            yield Regression(cell, RegressionKind.STATE, detail)


def _find_changed_cells(a: Cells, b: Cells, specs: Mapping[str, Any]) -> Iterator[Regression]:
    shared = sorted(a.keys() & b.keys())
    for cell in shared:
        yield from _find_worse_outcomes(cell, a[cell], b[cell])
        before = [record for record in a[cell] if record.state == State.OK]
        after = [record for record in b[cell] if record.state == State.OK]
        if before and after:
            yield from _find_missing_values(cell, before, after, LEVEL / len(shared))
            yield from _find_worse_quality(cell, before, after)
            yield from _find_larger_gap(cell, before, after, specs.get(cell.task))


def _count(some: Sequence[object], repeats: Sequence[object]) -> str:
    return f"{len(some)} of {len(repeats)} repeats"


def _read_export(record: Record) -> Outcome:
    agreement = record.evaluation.onnx if record.evaluation else None
    return (agreement.state, agreement.reason) if agreement else (NOT_CHECKED, None)


def _read_parity(record: Record) -> Outcome:
    return (record.parity.state, record.parity.reason) if record.parity else (NOT_CHECKED, None)


# Kind -> how it ended in a repeat, and whether a repeat has it.
OUTCOMES: dict[RegressionKind, tuple[Callable[[Record], Outcome], Callable[[Record], bool]]] = {
    RegressionKind.STATE: (lambda record: (record.state, record.reason), lambda record: True),
    RegressionKind.PARITY: (_read_parity, lambda record: True),
    RegressionKind.EXPORT: (_read_export, lambda record: record.state == State.OK and record.complete),
}


def _find_worse_outcomes(cell: Cell, before: Sequence[Record], after: Sequence[Record]) -> Iterator[Regression]:
    """Yield each kind of outcome that was `ok` before and is now one that it never was, or never `ok`."""
    for kind, (read, has_it) in OUTCOMES.items():
        outcomes_a = {read(record)[0] for record in before if has_it(record)}
        outcomes_b = [read(record) for record in after if has_it(record)]
        bad = [outcome for outcome in outcomes_b if outcome[0] != State.OK]
        new = [outcome for outcome in bad if outcome[0] not in outcomes_a]
        if State.OK in outcomes_a and (new or (bad and len(bad) == len(outcomes_b))):
            state, reason = (new or bad)[0]
            detail = f"the {kind} is {state} in {_count(bad, outcomes_b)}"
            detail = detail.replace("the parity", "parity")
            yield Regression(cell, kind, f"{detail}: {reason}" if reason else detail)


def _find_missing_values(
    cell: Cell, before: Sequence[Record], after: Sequence[Record], level: float
) -> Iterator[Regression]:
    """Yield each ranked metric that all repeats had before and none has now, or significantly fewer."""
    for name in RANKED:
        read = METRICS[name].read
        expected_before, expected = METRICS[name].select(before), METRICS[name].select(after)
        had = [record for record in expected_before if read(record) is not None]
        missing = [record for record in expected if read(record) is None]
        lost = len(had) == len(expected_before) and len(missing) == len(expected)
        fewer = exact_p(len(missing), len(expected), len(expected_before) - len(had), len(expected_before)) <= level
        if not missing or not (lost or fewer):
            continue
        if name == "time_to_target_s":
            detail = (
                f"the target is no longer reached in {_count(missing, expected)}; was reached in "
                f"{_count(had, expected_before)}"
            )
            yield Regression(cell, RegressionKind.TARGET, detail)
        else:
            yield Regression(
                cell,
                RegressionKind.MISSING,
                f"{name_metric(name)} is no longer measured in {_count(missing, expected)}",
            )


def _read_values(metric: MetricDefinition, records: Sequence[Record]) -> list[float]:
    return [value for record in records if (value := metric.read(record)) is not None]


def _find_worse_quality(cell: Cell, before: Sequence[Record], after: Sequence[Record]) -> Iterator[Regression]:
    """Yield a quality whose median is worse than the worst repeat before by more than its band, or that is 0."""
    for name in QUALITY:
        metric = METRICS[name]
        a, b = _read_values(metric, before), _read_values(metric, after)
        if not a or not b:
            continue
        more_is_better, now = metric.better == "more", median(b)
        limit = min(a) / (1 + RANKED[name]) if more_is_better else max(a) * (1 + RANKED[name])
        zeros = [value for value in b if value <= 0]
        if (now < limit) if more_is_better else (now > limit):
            change = "fell" if more_is_better else "rose"
            yield Regression(cell, RegressionKind.QUALITY, f"{name} {change} from {median(a):.4g} to {now:.4g}")
        elif more_is_better and zeros and min(a) > 0:
            yield Regression(cell, RegressionKind.QUALITY, f"{name} is 0 in {_count(zeros, b)}; was {median(a):.4g}")


def gap_limit(precision: str, spec: Any) -> float:
    """Return how far a weight of a correct backend may be from the reference model's after the first epoch.

    It is the tolerance of parity for the weights after that epoch; without a specification, that of any network.
    """
    if spec is None:
        tables = (TOLERANCES, RECURRENT, POOLED)
        return max(table[precision]["weights"] for table in tables if precision in table)
    return tolerances_for(Probe(EPOCH, from_json(spec), ()), precision, updates=1)["weights"]


def _find_larger_gap(cell: Cell, before: Sequence[Record], after: Sequence[Record], spec: Any) -> Iterator[Regression]:
    metric = METRICS["first_epoch_gap"]
    a, b = _read_values(metric, before), _read_values(metric, after)
    if not a or not b:
        return
    limit = gap_limit(cell.precision, spec)
    if not max(b) <= max(limit, GROWTH * max(a)):  # written so that NaN is beyond the limit
        detail = f"first_epoch_gap grew from {max(a):.3g} to {max(b):.3g}; the limit is {limit:.3g}"
        yield Regression(cell, RegressionKind.GAP, detail)


def slow_p(slow: int, n: int, slow_before: tuple[int, int], slow_in_run: tuple[int, int]) -> float:
    """Return the p that chance makes so many of n repeats slow, given the counts (slow, repeats) of the first run.

    The test is Fisher's, against all repeats of the first run, with those of `PRIOR_REPEATS` if none of them was slow;
    and against the same cell, `slow_before`, if it had slow repeats before.
    """
    count, repeats = slow_in_run
    p = exact_p(slow, n, *(slow_in_run if count else (PRIOR_SLOW, repeats + PRIOR_REPEATS)))
    return max(p, exact_p(slow, n, *slow_before)) if slow_before[0] else p


def _find_slow_repeats(a: Cells, b: Cells) -> Iterator[Regression]:
    """Yield the cells of which at least two repeats are slow, more than chance explains.

    `SLOW_LEVEL` holds for all cells of a metric; `python -m tests.benchmarks.slow_repeats` prints the false alarms.
    """
    shared = sorted(a.keys() & b.keys())
    for name in TIMES:
        before, after = _read_times(name, a), _read_times(name, b)
        cells = [cell for cell in shared if before[cell] and after[cell]]
        typical = {cell: median(before[cell]) for cell in cells}
        slow_before = {cell: _list_slow(before[cell], typical[cell]) for cell in cells}
        in_run = sum(map(len, slow_before.values())), sum(len(before[cell]) for cell in cells)
        for cell in cells:
            times, slow = after[cell], _list_slow(after[cell], typical[cell])
            if len(slow) < 2 or min(len(times), len(before[cell])) < FEWEST_REPEATS:
                continue
            p = slow_p(len(slow), len(times), (len(slow_before[cell]), len(before[cell])), in_run)
            if p <= SLOW_LEVEL / len(cells):
                ratio = median(slow) / typical[cell]
                detail = f"{name_metric(name)}: {_count(slow, times)} take x{ratio:.1f} of the time before"
                yield Regression(cell, RegressionKind.SLOW_REPEATS, detail, ratio - 1)


def _read_times(name: str, cells: Cells) -> dict[Cell, list[float]]:
    """Return one value for each repeat that is ok, in proportion to its time."""
    metric = METRICS[name]
    values = {
        cell: _read_values(metric, [record for record in records if record.state == State.OK])
        for cell, records in cells.items()
    }
    if metric.better == "less":
        return values
    return {cell: [1 / rate for rate in rates if rate > 0] for cell, rates in values.items()}


def _list_slow(times: Sequence[float], typical: float) -> list[float]:
    return [time for time in times if time > SLOW * typical]
