"""`crossframe selftest`: is the measurement to be trusted here? Costs that are known, measured as if they were not.

* exact: steps that take a known time, allocations of a known size, beside what is measured of them;
* clock: each backend's steps, against the time that their sums need at least, and what is left after `sync`;
* equal: the same backend as two candidates, again and again, which must tie;
* slower: the same, one of them slowed down, which must be found; and what the noise says is the least that could be.

On a card clocks are tested there, and so is a candidate that has one; NumPy, the default candidate, stays on the CPU.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from crossframe.backends import Backend, discover
from crossframe.harness.analysis import metrics, statistics
from crossframe.harness.console import say
from crossframe.harness.machine.cache import cache
from crossframe.harness.machine.environments import Environment, make
from crossframe.harness.machine.gpus import refusal
from crossframe.harness.machine.host import fingerprint
from crossframe.harness.selftest.bench import Bench, NotMeasured, home
from crossframe.harness.selftest.clock import busiest, clock_or_why, time_of
from crossframe.tasks import discover as discover_tasks
from crossframe.tasks.spec import Task

STEPS_S = (0.001, 0.01, 0.1)
BYTES = (64 << 20, 256 << 20, 1024 << 20)
SLOWDOWN = 1.05
ROUNDS = statistics.PAIRED_FROM + 1


def burdened(backend: Backend, **burden: float) -> Backend:
    """The same backend with a known cost: `step_s`, `slowdown`, `bytes`."""
    told = {f"BURDEN_{name.upper()}": str(value) for name, value in burden.items()} | {"BURDEN_WRAP": backend.module}
    facts = {**backend.facts, "environment": {**backend.facts.get("environment", {}), **told}}
    return Backend(backend.name, "crossframe.harness.worker.known_cost", backend.folder, facts)


def small() -> Task:
    """The quick preset of the task with the fewest sums."""
    return min((presets["quick"] for presets in discover_tasks().values()), key=Task.flops)


def step_s(measures: dict[str, Any]) -> float:
    return float(np.median(metrics.steady(measures["step_samples_s"])))


def exact(bench: Bench, backend: Backend, environment: Environment) -> Iterator[dict[str, Any]]:
    """{what, known, measured, off}: `off` relative for seconds, absolute for bytes."""
    task = small()
    for known in STEPS_S:
        measured = step_s(bench.measure(task, burdened(backend, step_s=known), environment))
        yield {"what": "step_s", "known": known, "measured": measured, "off": measured / known - 1}
    # How much of the host's memory a card's driver takes is not the same each time.
    bench = replace(bench, device="cpu")
    least = bench.measure(task, burdened(backend), environment)["host_peak_bytes"]
    for size in BYTES if least is not None else ():
        measured = bench.measure(task, burdened(backend, bytes=size), environment)["host_peak_bytes"] - least
        yield {"what": "host_peak_bytes", "known": size, "measured": measured, "off": measured - size}


def pair(bench: Bench, task: Task, sides: tuple[Backend, Backend], environment: Environment, seed: int) -> Any:
    """The comparison of two candidates over rounds, in each in random order."""
    generator = np.random.default_rng(seed)
    rounds: dict[str, dict[int, float]] = {"a": {}, "b": {}}
    for number in range(ROUNDS):
        for place in generator.permutation(2):
            epochs = bench.measure(task, sides[place], environment)["epochs"]
            taken = metrics.steady([epoch["train_s"] / epoch["steps"] for epoch in epochs])
            rounds["ab"[place]][number] = float(np.mean(taken))
    (found,) = statistics.compare(rounds, "less", 0.0)
    logs = np.log([rounds["a"][number] / rounds["b"][number] for number in range(ROUNDS)])
    return found, float(logs.std(ddof=1))


def smallest(spreads: list[float]) -> float:
    """The least slowdown that `ROUNDS` rounds find with power 0.8 in the noise seen: see `statistics.runs_needed`."""
    from scipy import special

    z = special.ndtri(1 - statistics.LEVEL / 2) + special.ndtri(statistics.POWER)
    return math.exp(z * float(np.median(spreads)) * math.sqrt(math.pi / 2 / ROUNDS)) - 1


def examine(names: list[str], candidate: str, pairs: int, tries: int, cpus: list[int], device: str) -> dict[str, Any]:
    """Everything, and kept for the reports of later runs on this machine. NotMeasured if the candidate can't run."""
    known = discover()
    own, place = known[candidate], home(known[candidate], device)
    why = refusal(own, place)
    if why:
        raise NotMeasured(f"{candidate}: unsupported: {why}")
    environment = make(own, place.partition(":")[0])
    with tempfile.TemporaryDirectory(prefix="crossframe-") as name:
        bench = Bench(Path(name), cpus, place, 300)
        told: dict[str, Any] = {"exact": list(exact(bench, own, environment)), "clock": []}
        say("known costs are measured")
        for backend in (known[name] for name in names):
            there = home(backend, device)
            told["clock"].append(clock_or_why(replace(bench, device=there), busiest(there), backend))
            say(f"clock of {backend.name}: {told['clock'][-1]['state']}")
        task, spreads = small(), []
        plain, slow = burdened(own), burdened(own, slowdown=SLOWDOWN)
        different = found = 0
        for number in range(pairs):
            comparison, spread = pair(bench, task, (plain, plain), environment, number)
            different += comparison.separated
            spreads.append(spread)
            say(f"[{number + 1}/{pairs}] equal candidates: {'called different' if comparison.separated else 'tied'}")
        for number in range(tries):
            comparison, _ = pair(bench, task, (plain, slow), environment, pairs + number)
            found += comparison.separated and comparison.b == "b"
            say(
                f"[{number + 1}/{tries}] one {SLOWDOWN - 1:.0%} slower: {'found' if comparison.separated else 'missed'}"
            )
    told |= {
        "equal": {"pairs": pairs, "called_different": different},
        "slower": {"slowdown": SLOWDOWN - 1, "tries": tries, "found": found},
        "smallest_slowdown": smallest(spreads) if spreads else None,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "rounds": ROUNDS,
        "candidate": candidate,
        "device": place,
    }
    kept(place).parent.mkdir(parents=True, exist_ok=True)
    kept(place).write_text(json.dumps(told))
    return told


def kept(device: str) -> Path:
    """Where the last selftest on a device of this machine is kept."""
    host = fingerprint()
    where = "" if device == "cpu" else f"-{device}"
    return cache() / "selftest" / f"{host['cpu']}-{len(host['affinity'])}{where}.json".replace("/", " ")


def last(device: str) -> str | None:
    """What the last selftest on a device came to, and when; None where there was none that this version reads."""
    try:
        told = json.loads(kept(device).read_text())
        return f"{summary(told)} ({told['created']})"
    except (OSError, ValueError, KeyError):
        return None


def failed(told: dict[str, Any]) -> list[str]:
    """What the selftest found wrong: the measurement errs, not the noise."""
    lines = [f"clock of {one['backend']}: {one['reason']}" for one in told["clock"] if one["state"] == "failed"]
    for one in told["exact"]:
        # Less than what is known can't have been; more may be the machine's noise.
        if one["measured"] < 0.99 * one["known"]:
            lines.append(f"{one['what']} of {one['known']:g} is measured as {one['measured']:g}")
    return lines


def as_text(told: dict[str, Any]) -> str:
    lines = []
    for one in told["exact"]:
        off = f"{one['off']:+.2%}" if one["what"] == "step_s" else f"{one['off'] / 1e6:+.2f} MB"
        lines.append(f"{one['what']:<16} known {one['known']:<12g} measured {one['measured']:<12g} {off}")
    for one in told["clock"]:
        line = f"clock of {one['backend']:<12} {one['state']:<7} "
        if one["worked_s"] is not None:
            line += (
                f"a step takes {one['worked_s']:.2g} s of {time_of(one['device'])}, its sums at least "
                f"{one['needed_s']:.2g} s; left after sync {one['left_after_sync']:.1%}"
            )
        lines.append(line + (one["reason"] or "" if one["state"] == "unsupported" else ""))
    lines.append(summary(told))
    return "\n".join([*lines, *(f"FAILED {line}" for line in failed(told))]) + "\n"


def summary(told: dict[str, Any]) -> str:
    """One sentence: what a run on this machine can tell apart."""
    equal, slower = told["equal"], told["slower"]
    sentence = (
        f"selftest of {told['candidate']} on {told['device']}, {told['rounds']} processes a side: of {equal['pairs']} "
        f"equal pairs {equal['called_different']} were called different; of {slower['tries']} slowed down by "
        f"{slower['slowdown']:.0%}, {slower['found']} were found"
    )
    if told["smallest_slowdown"] is not None:
        sentence += f"; the least slowdown that the noise lets be seen is about {told['smallest_slowdown']:.1%}"
    return sentence
