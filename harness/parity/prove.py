"""`crossframe parity`: the probes of a task, run in each backend's own process and in the oracle, and judged."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from crossframe.backends import Backend
from crossframe.harness.launch.launch import ROOT, end_all, launch
from crossframe.harness.machine.cache import cache
from crossframe.harness.machine.environments import Environment
from crossframe.harness.machine.host import fingerprint
from crossframe.harness.parity import checks as parity
from crossframe.harness.parity import dialects
from crossframe.harness.parity.hints import hint
from crossframe.harness.parity.reference_traces import Oracle
from crossframe.harness.plan.plan import Cell
from crossframe.harness.worker.probes import again_of
from crossframe.tasks.spec import Arrays, to_json


def code_digest(*places: Path) -> str:
    """The digest of some files and of all code in some folders: what was proven of it holds until it changes."""
    within = (file for place in places for file in (place.rglob("*") if place.is_dir() else [place]))
    files = sorted(file for file in within if file.suffix in (".py", ".txt", ".toml"))
    return hashlib.sha256(b"".join(hashlib.sha256(file.read_bytes()).digest() for file in files)).hexdigest()


def checks_of(oracle: Oracle, told: dict[str, Any], traces: Arrays, cell: Cell) -> Iterator[parity.Check]:
    """Every check of every probe that the backend ran."""
    precision = cell.precision
    dialect = dialects.spoken(told["dialect"], precision)

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
    why = hint(oracle, first, traces, dialects.spoken(told["dialect"], cell.precision))
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
    outcome = launch(environment.python, backend, document, folder, timeout_s, "crossframe.harness.worker.probe")
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
