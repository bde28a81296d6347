"""`crossframe parity`: the probes of a task, run in each backend's own process and in the oracle, and judged."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from backends import Backend
from harness.environments import Environment, cache
from harness.folder import inputs_of
from harness.host import fingerprint
from harness.judge import keep_first_epoch
from harness.launch import ROOT, end_all, launch
from harness.parity import checks as parity
from harness.parity.hints import hint
from harness.parity.probes import EPOCH, Probe, again_of, draw_batches, pooled, probes
from harness.plan import Cell, Plan, task_of
from tasks import discover as discover_tasks
from tasks.spec import Arrays, Task, to_json


@dataclass(frozen=True)
class Question:
    """What is asked about one task: its probes, and the arrays that they need, as a file that every backend reads."""

    task: Task
    probes: list[Probe]
    inputs: Path  # of the run: data, weights, order of batches
    path: Path  # of the probes

    @property
    def size(self) -> tuple[int, int]:
        """How many trainings (each may have to be compiled) of how many parameters: which question takes longer."""
        trainings = sum(1 for probe in self.probes if max(probe.weights_after, default=0))
        return trainings, sum(math.prod(shape) for shape in self.task.parameters().values())

    def arrays(self) -> Arrays:
        with np.load(self.path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}


def ask(task: Task, inputs: Path, folder: Path, every_optimizer: bool, seed: int = 0) -> Question:
    """The question about `task`, from a run's inputs (data, weights, order of batches)."""
    with np.load(inputs, allow_pickle=False) as data:
        order = data["order"][0]
        batches = draw_batches(task, data["x_train"], data["y_train"], order, seed)
        weights = {name: data[name] for name in data.files if name.startswith("weights/")}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{task.name}-{task.batch_size}.npz"
    np.savez(path, **batches, **weights)  # type: ignore[arg-type]
    return Question(task, probes(task, len(order), every_optimizer), inputs, path.resolve())


def code_digest(*places: Path) -> str:
    """The digest of some files and of all code in some folders: what was proven of it holds until it changes."""
    within = (file for place in places for file in (place.rglob("*") if place.is_dir() else [place]))
    files = sorted(file for file in within if file.suffix in (".py", ".txt", ".toml"))
    return hashlib.sha256(b"".join(hashlib.sha256(file.read_bytes()).digest() for file in files)).hexdigest()


class Oracle:
    """The oracle's traces, worked out once for each probe, dialect and precision."""

    def __init__(self, question: Question):
        self.question = question
        self.batches = question.arrays()
        self.weights = {
            name.removeprefix("weights/"): value for name, value in self.batches.items() if name.startswith("weights/")
        }
        self.lock = Lock()
        self.working: dict[tuple[str, str, str, bool], Lock] = {}
        self.known: dict[tuple[str, str, str, bool], Arrays] = {}
        self.scales: dict[str, Mapping[str, Any]] = {}

    def trace(
        self, probe: Probe, dialect: Mapping[str, Any], precision: str = "float64", contrary: bool = True
    ) -> Arrays:
        dialect = parity.relevant(probe.task, dialect) if probe.weights_after else {}
        key = (probe.name, json.dumps(dialect), precision, contrary)
        with self.lock:
            working = self.working.setdefault(key, Lock())
        with working:
            if key not in self.known:
                self.known[key] = parity.oracle_trace(probe, self.weights, self.batches, dialect, precision, contrary)
                if (probe.name, precision) == (EPOCH, "float64") and not pooled(probe.task):
                    # Unless the probe's data has a grain, this is what the judge will ask for: not twice.
                    last = f"weights/{probe.weights_after[-1]}/"
                    weights = {name: self.known[key][last + name] for name in self.weights}
                    keep_first_epoch(probe.task, self.question.inputs, dialect, weights)
            return self.known[key]

    def scale(self, probe: Probe, dialect: Mapping[str, Any], precision: str = "float32") -> tuple[Arrays, ...]:
        """(`precision`, float64): what rounding does to a probe. For a scale, the first dialect that comes will do.

        Below float32 in two ways: near ties decided the other way, and as they fall.
        """
        with self.lock:
            dialect = self.scales.setdefault(probe.name, dialect)
        ways = (True,) if precision == "float32" else (True, False)
        return *(self.trace(probe, dialect, precision, contrary) for contrary in ways), self.trace(probe, dialect)


def oracles(plan: Plan, folder: Path, cells: list[Cell], seed: int = 0) -> dict[tuple[str, int], Oracle]:
    """(task, batch size) -> its oracle. The smallest task of all is asked about every optimizer."""
    known = [presets["standard"] for presets in discover_tasks().values()]
    smallest = min(known, key=lambda task: sum(map(math.prod, task.parameters().values())))
    found: dict[tuple[str, int], Oracle] = {}
    for cell in cells:
        key = cell.task, cell.batch_size
        if key not in found:
            inputs, whole = inputs_of(folder, cell, seed), cell.task == smallest.name
            question = ask(task_of(plan, cell), inputs, folder / "jobs", whole, seed)
            found[key] = Oracle(question)
    return found


def checks_of(oracle: Oracle, told: dict[str, Any], traces: Arrays, cell: Cell) -> Iterator[parity.Check]:
    """Every check of every probe that the backend ran."""
    precision = cell.precision
    dialect = parity.spoken(told["dialect"], precision)

    def left(name: str) -> Arrays:
        prefix = f"{name}/"
        return {key.removeprefix(prefix): value for key, value in traces.items() if key.startswith(prefix)}

    for probe in oracle.question.probes:
        seen = left(probe.name)
        own = {name: value for name, value in oracle.weights.items() if name in probe.task.parameters()}
        want = oracle.trace(probe, dialect)
        scale = oracle.scale(probe, dialect, precision) if precision != "float64" else None
        yield from parity.compare(probe, seen, want, scale, own, oracle.batches, precision)
        if probe.twice:
            yield parity.repeats(probe, seen, left(again_of(probe)), scale, own, cell)
    yield parity.barrier(told["unfinished"])


def verdict(oracle: Oracle, cell: Cell, outcome: Any, folder: Path) -> dict[str, Any]:
    """{state, reason, hint, dialect, checks} of one cell: `ok` only if every probe ran and every check passed."""
    nothing = {"hint": None, "dialect": outcome.measures.get("dialect", {}), "checks": []}
    if outcome.state != "ok":
        return {"state": outcome.state, "reason": outcome.reason, **nothing}
    told = outcome.measures
    broken = [(name, probe) for name, probe in told["probes"].items() if probe["state"] != "ok"]
    if broken:
        name, probe = broken[0]
        return {"state": probe["state"], "reason": f"{name}: {probe['reason']}", **nothing}
    with np.load(folder / "outputs.npz", allow_pickle=False) as stored:
        traces = {name: stored[name] for name in stored.files}
    checks = list(checks_of(oracle, told, traces, cell))
    if not checks:
        return {"state": "failed", "reason": "nothing was compared", **nothing}
    first = parity.localise(checks)
    found: dict[str, Any] = {"dialect": told["dialect"], "modes": told["modes"], "checks": parity.summary(checks)}
    if first is None:
        return {"state": "ok", "reason": None, "hint": None, **found}
    why = hint(oracle, first, traces, parity.spoken(told["dialect"], cell.precision))
    return {"state": "failed", "reason": parity.describe(first), "hint": why, **found}


def prove(
    cell: Cell,
    backend: Backend,
    environment: Environment,
    oracle: Oracle,
    folder: Path,
    cpus: list[int],
    timeout_s: float,
) -> dict[str, Any]:
    """The verdict on one cell; what was proven earlier of the same code, pins and task is not proven again."""
    document = {
        **asdict(cell),
        "module": backend.module,
        "packages": backend.facts["packages"],
        "inputs": str(oracle.question.path),
        "probes": [asdict(probe) | {"task": to_json(probe.task)} for probe in oracle.question.probes],
        "cpus": cpus,
    }
    kept = kept_verdict(backend, environment, document, oracle.question.path)
    if kept.exists():
        return json.loads(kept.read_text())
    outcome = launch(environment.python, backend, document, folder, timeout_s, "harness.parity.tracer")
    found = verdict(oracle, cell, outcome, folder)
    if found["state"] == "ok":
        kept.parent.mkdir(parents=True, exist_ok=True)
        aside = kept.with_suffix(f".{cell.name}.part")
        aside.write_text(json.dumps(found))
        aside.replace(kept)
    return found


def kept_verdict(backend: Backend, environment: Environment, document: dict[str, Any], inputs: Path) -> Path:
    """Where a verdict is kept: under all that it depends on."""
    asked = {name: value for name, value in document.items() if name not in ("inputs", "cpus")}
    proving = [ROOT / "harness" / name for name in ("parity", "measurement", "worker.py", "launch.py")]
    speaking = [ROOT / "backends" / "contract.py", ROOT / "backends" / "reference", ROOT / "tasks"]
    code = code_digest(backend.folder, *speaking, *proving)
    machine = json.dumps([fingerprint()[part] for part in ("cpu", "gpus")])
    parts = (json.dumps(asked), hashlib.sha256(inputs.read_bytes()).hexdigest(), code, str(environment.python), machine)
    return cache() / "parity" / f"{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]}.json"


def prove_all(
    cells: list[Cell],
    backends: dict[str, Backend],
    ready: dict[str, Environment],
    oracles: dict[tuple[str, int], Oracle],
    folder: Path,
    options: dict[str, Any],
) -> Iterator[tuple[Cell, dict[str, Any]]]:
    """Cells and their verdicts, as they come. Nothing is timed here, so the processors are shared out, one a job.

    But on a GPU one job has them all: two at once would share its memory, and where a framework chooses kernels by
    trial, each would disturb the other's.
    """
    cpus = options["cpus"]
    at_once = len(cpus) if all(cell.device == "cpu" for cell in cells) else 1
    # The longest first, or a processor would wait for it at the end.
    cells = sorted(cells, key=lambda cell: oracles[cell.task, cell.batch_size].question.size, reverse=True)

    def one(place_cell: tuple[int, Cell]) -> tuple[Cell, dict[str, Any]]:
        place, cell = place_cell
        own = cpus[place % at_once :: at_once]
        job = (folder / f"parity-{cell.name}").resolve()
        oracle = oracles[cell.task, cell.batch_size]
        return cell, prove(cell, backends[cell.backend], ready[cell.backend], oracle, job, own, options["timeout"])

    pool = ThreadPoolExecutor(at_once)
    try:
        # One thread for the oracle too: the others would only get into the way of the workers.
        with threadpool_limits(len(cpus) // at_once):
            yield from pool.map(one, enumerate(cells))
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        end_all()
        raise
    finally:
        pool.shutdown()
