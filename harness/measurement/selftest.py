"""`crossframe selftest`: is the measurement to be trusted here? Costs that are known, measured as if they were not.

* exact: steps that take a known time, allocations of a known size, beside what is measured of them;
* clock: each backend's steps, against the processor time that their sums need at least, and what is left after `sync`;
* equal: the same backend as two candidates, again and again, which must tie;
* slower: the same, one of them slowed down, which must be found; and what the noise says is the least that could be.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from backends import Backend, discover
from harness.environments import Environment, cache, make
from harness.exits import Missing
from harness.host import fingerprint
from harness.inputs import write_inputs
from harness.launch import launch
from harness.measurement import figures, statistics
from harness.messages import say
from harness.parity.checks import BARRIER
from tasks import discover as discover_tasks
from tasks.spec import Task, to_json

STEPS_S = (0.001, 0.01, 0.1)
BYTES = (64 << 20, 256 << 20, 1024 << 20)
SLOWDOWN = 1.05
ROUNDS = statistics.PAIRED_FROM + 1
# NumPy's product may be slower than a framework's; a clock that stops early is off by far more.
MARGIN = 3.0


class NotMeasured(Exception):
    """A process did not end well; the message says which, and how."""


@dataclass(frozen=True)
class Bench:
    """What all measurements of one selftest share."""

    folder: Path
    cpus: list[int]
    device: str
    timeout_s: float

    def inputs(self, task: Task) -> Path:
        path = self.folder / f"{task.name}.npz"
        if not path.exists():
            write_inputs(path, task, None, None)
        return path

    def measure(self, task: Task, backend: Backend, environment: Environment, ceiling: bool = False) -> dict[str, Any]:
        """The measures of one process that does nothing but steps; NotMeasured where it fails."""
        document = {
            "task": to_json(task),
            "module": backend.module,
            "mode": backend.modes[0],
            "device": self.device,
            "precision": "float32",
            "inputs": str(self.inputs(task).resolve()),
            "cpus": self.cpus,
            "ceiling": ceiling,
        }
        folder = self.folder / "job"
        outcome = launch(environment.python, backend, document, folder, self.timeout_s, "harness.measurement.stopwatch")
        if outcome.state != "ok":
            raise NotMeasured(f"{backend.name}: {outcome.state}: {outcome.reason}")
        return outcome.measures


def burdened(backend: Backend, **burden: float) -> Backend:
    """The same backend with a known cost: `step_s`, `slowdown`, `bytes`."""
    told = {f"BURDEN_{name.upper()}": str(value) for name, value in burden.items()} | {"BURDEN_WRAP": backend.module}
    facts = {**backend.facts, "environment": {**backend.facts.get("environment", {}), **told}}
    return Backend(backend.name, "harness.measurement.burden", backend.folder, facts)


def small() -> Task:
    """The quick preset of the task with the fewest sums."""
    return min((presets["quick"] for presets in discover_tasks().values()), key=Task.flops)


def step_s(measures: dict[str, Any]) -> float:
    return float(np.median(figures.steady(measures["step_samples_s"])))


def exact(bench: Bench, backend: Backend, environment: Environment) -> Iterator[dict[str, Any]]:
    """{what, known, measured, off}: `off` relative for seconds, absolute for bytes."""
    task = small()
    for known in STEPS_S:
        measured = step_s(bench.measure(task, burdened(backend, step_s=known), environment))
        yield {"what": "step_s", "known": known, "measured": measured, "off": measured / known - 1}
    least = bench.measure(task, burdened(backend), environment)["host_peak_bytes"]
    for size in BYTES if least is not None else ():
        measured = bench.measure(task, burdened(backend, bytes=size), environment)["host_peak_bytes"] - least
        yield {"what": "host_peak_bytes", "known": size, "measured": measured, "off": measured - size}


def busiest() -> Task:
    """The task with the most sums for each parameter, which must be read back to see what is left after `sync`."""
    tasks = [presets["quick"] for presets in discover_tasks().values()]
    return max(tasks, key=lambda task: task.flops() / sum(map(math.prod, task.parameters().values())))


def clock(bench: Bench, task: Task, backend: Backend, environment: Environment) -> dict[str, Any]:
    """{backend, state, reason, ...}: failed where steps end before the sums in them can be done, or after `sync`."""
    measures = bench.measure(task, backend, environment, ceiling=True)
    steps = measures["epochs"][0]["steps"]
    worked_s = float(np.median(measures["processor_samples_s"])) / steps
    # Forward, and the gradient of the weights: what can't be left out in any step.
    needed_s = 2 * task.flops() * task.batch_size / measures["ceiling_flops"]
    left = min(read / epoch["train_s"] for read, epoch in zip(measures["read_samples_s"], measures["epochs"]))
    why = []
    if worked_s * MARGIN < needed_s:
        why.append(f"a step ends after {worked_s:.2g} s of processor time, but its sums take {needed_s:.2g} s")
    if left > BARRIER:
        why.append(f"after sync, reading the weights still waits for {left:.0%} of the time")
    return {
        "backend": backend.name,
        "state": "failed" if why else "ok",
        "reason": "; ".join(why) or None,
        "worked_s": worked_s,
        "needed_s": needed_s,
        "left_after_sync": left,
    }


def clock_or_why(bench: Bench, task: Task, backend: Backend) -> dict[str, Any]:
    """`clock`, and failed too where there is no environment or the process does not end well."""
    try:
        return clock(bench, task, backend, make(backend, bench.device.partition(":")[0]))
    except (NotMeasured, Missing) as error:
        nothing = {"worked_s": None, "needed_s": None, "left_after_sync": None}
        return {"backend": backend.name, "state": "failed", "reason": str(error), **nothing}


def pair(bench: Bench, task: Task, sides: tuple[Backend, Backend], environment: Environment, seed: int) -> Any:
    """The comparison of two candidates over rounds, in each in random order."""
    generator = np.random.default_rng(seed)
    rounds: dict[str, dict[int, float]] = {"a": {}, "b": {}}
    for number in range(ROUNDS):
        for place in generator.permutation(2):
            epochs = bench.measure(task, sides[place], environment)["epochs"]
            taken = figures.steady([epoch["train_s"] / epoch["steps"] for epoch in epochs])
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
    """Everything, and kept for the reports of later runs on this machine."""
    known = discover()
    own, environment = known[candidate], make(known[candidate], device.partition(":")[0])
    with tempfile.TemporaryDirectory(prefix="crossframe-") as name:
        bench = Bench(Path(name), cpus, device, 300)
        told: dict[str, Any] = {"exact": list(exact(bench, own, environment)), "clock": []}
        say("known costs are measured")
        for backend in (known[name] for name in names):
            told["clock"].append(clock_or_why(bench, busiest(), backend))
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
    }
    kept().parent.mkdir(parents=True, exist_ok=True)
    kept().write_text(json.dumps(told))
    return told


def kept() -> Path:
    """Where the last selftest on this machine is kept."""
    host = fingerprint()
    return cache() / "selftest" / f"{host['cpu']}-{len(host['affinity'])}.json".replace("/", " ")


def last() -> str | None:
    """What the last selftest on this machine came to, and when; None where there was none that this version reads."""
    try:
        told = json.loads(kept().read_text())
        return f"{summary(told)} ({told['created']})"
    except (OSError, ValueError, KeyError):
        return None


def failed(told: dict[str, Any]) -> list[str]:
    """What the selftest found wrong: the measurement errs, not the noise."""
    lines = [f"clock of {one['backend']}: {one['reason']}" for one in told["clock"] if one["state"] != "ok"]
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
    for one in (one for one in told["clock"] if one["worked_s"] is not None):
        lines.append(
            f"clock of {one['backend']:<12} {one['state']:<7} a step takes {one['worked_s']:.2g} s of the processors, "
            f"its sums at least {one['needed_s']:.2g} s; left after sync {one['left_after_sync']:.1%}"
        )
    lines.append(summary(told))
    return "\n".join([*lines, *(f"FAILED {line}" for line in failed(told))]) + "\n"


def summary(told: dict[str, Any]) -> str:
    """One sentence: what a run on this machine can tell apart."""
    equal, slower = told["equal"], told["slower"]
    sentence = (
        f"selftest, {told['rounds']} processes a side: of {equal['pairs']} equal pairs {equal['called_different']} were"
        f" called different; of {slower['tries']} slowed down by {slower['slowdown']:.0%}, {slower['found']} were found"
    )
    if told["smallest_slowdown"] is not None:
        sentence += f"; the least slowdown that the noise lets be seen is about {told['smallest_slowdown']:.1%}"
    return sentence
