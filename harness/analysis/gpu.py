"""What a GPU did during a job, from the driver's rows (`crossframe.harness.launch.gpu_sampler`) and the worker's own times.

Power, clock and throttling are those of the epochs that count for the throughput, without compilation, copies and
evaluations. Memory is that of the job until it had trained.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from crossframe.harness.analysis.labels import names_of
from crossframe.harness.analysis.statistics import steady
from crossframe.harness.launch.gpu_sampler import AVERAGED_S, BUSY

Record = dict[str, Any]

NONE = np.empty((0, 2))
ENOUGH = 3  # samples from which on they say something
# What libraries add to a context once the training uses them. To be held against the first run on a card: no figure
# of ours stands behind it yet.
UNEXPLAINED_MB = 500
IN_USE_MB = 1000  # of an idle card, on which only what the driver keeps for itself should count as used; likewise

# Bit of "throttle" -> what holds the clock down. Bits that are not here are no fault: an idle card, a setting.
THROTTLES = {
    0x04: "its power limit",
    0x08: "a slowdown of the hardware",
    0x20: "its heat (the driver)",
    0x40: "its heat (the hardware)",
    0x80: "the power supply's brake",
}
# (what a card showed of others, above what it is worth a word, what to say of the worst job).
OTHERS: tuple[tuple[Callable[[dict[str, Any]], float], float, str], ...] = (
    (lambda gpu: gpu["others"], 0, "up to {} processes of others computed on the card"),
    (lambda gpu: first(gpu, "memory_bytes") / 1e6, IN_USE_MB, "up to {:,.0f} MB of the card were in use beforehand"),
    (lambda gpu: first(gpu, "utilisation"), BUSY, "the card was at work up to {:.0%} of the time beforehand"),
)


def column(gpu: dict[str, Any] | None, name: str, begin_s: float = 0, end_s: float = math.inf) -> np.ndarray:
    """(n, 2): when a column was sampled between two times, and what it was; n is 0 where the card does not tell."""
    if gpu is None:
        return NONE
    rows = zip(gpu["samples"]["at_s"], gpu["samples"][name])
    known = [row for row in rows if row[1] is not None and begin_s <= row[0] <= end_s]
    return np.asarray(known, float).reshape(-1, 2)


def first(gpu: dict[str, Any], name: str) -> float:
    """What a column was before anything of ours ran; 0 where the card does not tell."""
    return next(iter(gpu["samples"][name]), None) or 0.0


def timed(record: Record) -> np.ndarray:
    """(n, 2): when each of the epochs after warm-up began and ended, by the clock of the samples; n is 0 if none."""
    if not record.get("gpu"):
        return NONE
    epochs = [epoch for epoch in record["measures"].get("epochs", []) if "began_s" in epoch]
    kept = len(steady([epoch["train_s"] / epoch["steps"] for epoch in epochs])) if epochs else 0
    spans = [(epoch["began_s"], epoch["began_s"] + epoch["train_s"]) for epoch in epochs[len(epochs) - kept :]]
    return np.asarray(spans, float).reshape(-1, 2)


def trained(record: Record) -> np.ndarray:
    """(1, 2): when the training began and ended, compilation, copies and evaluations included; (0, 2) if unknown."""
    receipt = record["measures"].get("receipt", {})
    return np.asarray([receipt[name] for name in ("began_s", "ended_s") if name in receipt], float).reshape(-1, 2)


def within(record: Record, name: str, spans: np.ndarray) -> np.ndarray:
    """What was sampled of a column within some spans; empty where that is too little to say anything."""
    known = column(record.get("gpu"), name)
    inside = (spans[:, :1] <= known[:, 0]) & (known[:, 0] <= spans[:, 1:])
    found = known[inside.any(axis=0), 1]
    return found if len(found) >= ENOUGH else found[:0]


def spent_j(record: Record, spans: np.ndarray) -> float | None:
    """What the card took in some spans: its counter, a straight line between two samples.

    Cards before Volta have none; their power, which they tell of the moment, is summed in its stead.
    """
    if not len(spans):
        return None
    name = "energy_j" if len(column(record.get("gpu"), "energy_j")) else "power_w"
    if not len(within(record, name, spans)):
        return None
    at_s, value = column(record["gpu"], name).T
    if name == "power_w":
        value = np.concatenate([[0], np.cumsum(np.diff(at_s) * (value[1:] + value[:-1]) / 2)])
    return float(np.diff(np.interp(spans, at_s, value)).sum())


def energy_j(record: Record) -> float | None:
    """Of the whole training."""
    return spent_j(record, trained(record))


def power_w(record: Record) -> float | None:
    """The mean while steps were timed."""
    spans = timed(record)
    joules = spent_j(record, spans)
    return None if joules is None else joules / float(np.diff(spans).sum())


def clock_hz(record: Record) -> float | None:
    """The mean while steps were timed."""
    found = within(record, "clock_hz", timed(record))
    return float(found.mean()) if len(found) else None


def utilisation(record: Record) -> float | None:
    """The share of the time in which the card ran anything, from the first timed epoch to the end of the training.

    Each sample is itself an average over up to `AVERAGED_S`, so the first second's are not counted, and a training that
    was not twice as long has none.
    """
    spans, whole = timed(record), trained(record)
    if not len(spans) or not len(whole) or whole[0, 1] - spans[0, 0] < 2 * AVERAGED_S:
        return None
    found = within(record, "utilisation", np.asarray([[spans[0, 0] + AVERAGED_S, whole[0, 1]]]))
    return float(found.mean()) if len(found) else None


def rise_bytes(gpu: dict[str, Any] | None, end_s: float = math.inf) -> int | None:
    """By how much the card's used memory rose until some time: its largest value less its least."""
    seen = column(gpu, "memory_bytes", end_s=end_s)[:, 1]
    return int(seen.max() - seen.min()) if len(seen) else None


def memory_peak_bytes(record: Record) -> int | None:
    """By how much the card's used memory rose until the model was trained, as the allocator's own peak is taken."""
    return rise_bytes(record.get("gpu"), record["measures"].get("receipt", {}).get("ended_s", math.inf))


def context_bytes(record: Record) -> int | None:
    """What the job took of the card to prepare the model, but for what its allocator had reserved by then."""
    prepared, whole = record["measures"].get("prepared"), trained(record)
    if prepared is None or not len(whole):
        return None
    seen = column(record.get("gpu"), "memory_bytes", end_s=whole[0, 1])
    then = seen[(seen[:, 0] >= prepared["at_s"]) & (seen[:, 0] <= whole[0, 0]), 1]
    return int(then[0] - seen[:, 1].min() - (prepared["reserved_bytes"] or 0)) if len(then) else None


def unexplained_bytes(record: Record) -> int | None:
    """The rise of the card's used memory, less its context and what its allocator reserved at most."""
    rise, context = memory_peak_bytes(record), context_bytes(record)
    reserved = record["measures"].get("device_reserved_bytes")
    return None if rise is None or context is None or reserved is None else rise - context - reserved


def explained(records: Iterable[Record]) -> str | None:
    """The device's two peaks of memory side by side, and what lies between; of several processes the worst explained.

    None where NVML told none.
    """
    told = [record for record in records if memory_peak_bytes(record) is not None]
    if not told:
        return None
    worst = max(told, key=lambda record: abs(unexplained_bytes(record) or 0))
    which = f" in the one of {len(told)} processes that is explained worst" if len(told) > 1 else ""
    rise, context, rest = memory_peak_bytes(worst), context_bytes(worst), unexplained_bytes(worst)
    peak, reserved = (worst["measures"].get(name) for name in ("device_peak_bytes", "device_reserved_bytes"))
    gave = f"gave out {megabytes(peak)} at most" if peak is not None else "does not tell its peak"
    text = f"the card's used memory rose by {megabytes(rise)} (NVML){which}"
    if rest is not None:
        held = f"{megabytes(context)} context, {megabytes(reserved)} reserved by the allocator, which {gave}"
        less = f"less {megabytes(-rest)}, since a sample missed the peak or others freed memory"
        return f"{text}: {held}, {less if rest < 0 else f'and {megabytes(rest)} of neither'}"
    before = f", by {megabytes(context)} before it trained" if context is not None else ""
    why = "it does not tell what it reserved" if reserved is None else "nothing was sampled just before it trained"
    return f"{text}{before}; the allocator {gave}; {why}, so the two can't be held against each other"


def megabytes(size: float | None) -> str:
    return f"{(size or 0) / 1e6:,.0f} MB"


def untouched(gpu: dict[str, Any] | None, measures: dict[str, Any]) -> str | None:
    """Why a job was not on its card after all, where its allocator does not tell; None if it was, or nothing can."""
    if gpu is None or measures.get("device_peak_bytes") is not None or rise_bytes(gpu) != 0:
        return None
    return f"asked for {gpu['device']}, but the card's used memory did not rise while the job ran"


def held(mask: np.ndarray, bit: int) -> float:
    """The share of samples in which one reason held the clock down; 0 where there are none."""
    return float(np.mean(mask & bit > 0)) if len(mask) else 0.0


def doubts(gpu: dict[str, Any] | None) -> list[str]:
    """What makes figures doubtful that were taken at any time during one job."""
    if gpu is None:
        return []
    mask = column(gpu, "throttle")[:, 1].astype(int)
    found = [f"{what} held the card's clock down" for bit, what in THROTTLES.items() if held(mask, bit)]
    return found + [text.format(read(gpu)) for read, limit, text in OTHERS if read(gpu) > limit]


def warnings(records: Iterable[Record]) -> list[str]:
    """`ID: text` of what makes figures of a GPU doubtful, with the cell in which it was worst."""
    seen = [record for record in records if record.get("gpu")]
    names = [" ".join(name) for name in names_of([record["cell"] for record in seen])]
    masks = [within(record, "throttle", timed(record)).astype(int) for record in seen]
    rest = [abs(unexplained_bytes(record) or 0) / 1e6 for record in seen]
    alone = f"{{:,.0f}} MB of the card are neither context nor the allocator's, more than {UNEXPLAINED_MB} MB"
    signs = [("W-GPU-OTHERS", [read(record["gpu"]) for record in seen], limit, text) for read, limit, text in OTHERS]
    signs += [
        ("W-GPU-THROTTLED", [held(mask, bit) for mask in masks], 0, f"{what} held the card's clock down for {{:.0%}}")
        for bit, what in THROTTLES.items()
    ]
    found = []
    for name, values, limit, text in [*signs, ("W-GPU-MEMORY", rest, UNEXPLAINED_MB, alone)]:
        above = [value for value in values if value > limit]
        if above:
            where = names[values.index(max(above))]
            found.append(f"{name}: in {len(above)} of {len(seen)} jobs {text.format(max(above))}, at worst in {where}")
    doubted = dict.fromkeys(doubt for record in seen for doubt in record.get("limits", {}).get("doubts", []))
    return found + [f"W-GPU-CEILING: while the ceiling was measured, {doubt}" for doubt in doubted]
