"""What a run will do: the cells, and the jobs in the order in which they will run."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from crossframe.backends import Backend
from crossframe.backends import discover as discover_backends
from crossframe.harness.errors import Usage
from crossframe.harness.machine.gpus import resolve_device
from crossframe.tasks import discover as discover_tasks
from crossframe.tasks.data import SOURCES
from crossframe.tasks.spec import Task
from crossframe.tasks.widen import scaled

PRECISIONS = ("float32", "float64", "tf32", "bfloat16", "float16")
PRESETS = ("quick", "standard", "original")


@dataclass(frozen=True)
class Cell:
    """What is compared: everything but which repeat."""

    task: str
    backend: str
    mode: str
    device: str
    precision: str
    batch_size: int

    @property
    def name(self) -> str:
        return "-".join(str(part).replace(":", "") for part in asdict(self).values())


@dataclass(frozen=True)
class Job:
    """One process: a cell, for the n-th time (from 1)."""

    cell: Cell
    repeat: int

    @property
    def name(self) -> str:
        return f"{self.cell.name}-{self.repeat}"


@dataclass(frozen=True)
class Plan:
    """A run before it runs."""

    tasks: dict[str, Task]
    backends: dict[str, Backend]
    device: str
    jobs: tuple[Job, ...]
    options: dict[str, Any]


def chosen(kind: str, asked: Iterable[str], there: Sequence[str]) -> list[str]:
    """What was asked for, in that order, once each; Usage where one of them does not exist."""
    wanted = list(dict.fromkeys(asked))
    for name in wanted:
        if name not in there:
            raise Usage(f"no {kind} is called {name!r}; there are {', '.join(there)}")
    return wanted


def modes_of(backend: Backend, asked: Sequence[str]) -> list[str]:
    """The modes to run: those asked for that it has, all of them, or else its default."""
    if "all" in asked:
        return backend.modes
    return [mode for mode in backend.modes if mode in asked] if asked else backend.modes[:1]


def make_plan(options: dict[str, Any]) -> Plan:
    """The plan for the options of `crossframe run`; Usage for what does not exist, Missing for a missing GPU."""
    presets = discover_tasks()
    known = discover_backends()
    task_names = chosen("task", options["task"] or list(presets), list(presets))
    candidates = [name for name, backend in known.items() if backend.has_builds]
    names = chosen("backend", options["backend"] or candidates, list(known))
    backends = {name: known[name] for name in names}
    modes = [mode for backend in backends.values() for mode in backend.modes]
    chosen("mode of " + " or ".join(names), options["mode"], [*dict.fromkeys(modes), "all"])
    precisions = chosen("precision", options["precision"] or ["float32"], PRECISIONS)
    chosen("preset", [options["preset"]], PRESETS)
    images = [name for name, source in SOURCES.items() if source.white is not None]
    chosen("data set", [options["data"]] if options["data"] else [], images)
    if options["preset"] == "original" and options["scale"] not in ([], [1]):
        raise Usage("the preset original keeps the sizes of its text: --scale goes with quick and standard")
    device = resolve_device(options["device"])
    plain = [presets[name][options["preset"]] for name in task_names]
    tasks = {task.name: task for one in plain for task in (scaled(one, factor) for factor in options["scale"] or [1])}
    cells = [
        Cell(task.name, backend.name, mode, device, precision, batch_size)
        for task in tasks.values()
        for backend in backends.values()
        for mode in modes_of(backend, options["mode"])
        for precision in precisions
        for batch_size in options["batch_size"] or [task.batch_size]
    ]
    return Plan(tasks, backends, device, tuple(interleaved(cells, options["repeats"])), options)


def interleaved(cells: list[Cell], repeats: int) -> list[Job]:
    """Every cell once, then every cell once more: each time in another order, so that a drift meets all alike."""
    jobs = []
    for repeat in range(1, repeats + 1):
        order = list(cells)
        random.Random(repeat).shuffle(order)
        jobs += [Job(cell, repeat) for cell in order]
    return jobs


def task_of(plan: Plan, cell: Cell) -> Task:
    """The cell's task, with the cell's batch size."""
    return replace(plan.tasks[cell.task], batch_size=cell.batch_size)
