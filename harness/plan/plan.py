"""The plan of a run: its cells, and the jobs in the order in which they will run."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from crossframe.backends import Backend
from crossframe.backends import discover as discover_backends
from crossframe.backends.contract import Precision
from crossframe.harness.console import suggest_name
from crossframe.harness.errors import UsageError
from crossframe.harness.machine.gpus import resolve_device
from crossframe.harness.records.model import Cell, PlannedJob, RunOptions
from crossframe.tasks import CORE
from crossframe.tasks import discover as discover_tasks
from crossframe.tasks.data import SOURCES
from crossframe.tasks.spec import Task
from crossframe.tasks.widen import widen

PRECISIONS = tuple(str(precision) for precision in Precision)
PRECISION_ALIASES = {  # what others call them
    **{f"{letters}{bits}": f"float{bits}" for letters in ("fp", "f") for bits in (16, 32, 64)},
    **{"half": "float16", "single": "float32", "double": "float64", "bf16": "bfloat16"},
}
PRESETS = ("quick", "standard", "original")
ALL_MODES = "all"
ALL_TASKS = "all"
BEST_MODE = "best"  # in `run`, the fastest of all in a trial; see `crossframe.harness.run.mode_trials`
ENOUGH_REPEATS = 5  # the fewest after which one of the six pairs of four candidates can be separated


@dataclass(frozen=True)
class Plan:
    """The tasks, backends and jobs of a run."""

    tasks: dict[str, Task]
    backends: dict[str, Backend]
    device: str
    jobs: tuple[PlannedJob, ...]
    options: RunOptions

    @property
    def repeats(self) -> int:
        """The processes of each cell, without those of a time budget."""
        return self.options.repeats or default_repeats(self.options)

    @property
    def titles(self) -> dict[str, str]:
        """Backend -> title of its framework, for everything that people read."""
        return {name: backend.manifest.title for name, backend in self.backends.items()}

    @property
    def device_kind(self) -> str:
        """The kind of the device: `cpu` or `cuda`."""
        return self.device.partition(":")[0]


def select_names(
    kind: str, names: Iterable[str], available: Sequence[str], aliases: Mapping[str, str] | None = None
) -> list[str]:
    """Return `names` without repetitions, in their order.

    Raises UsageError if a name is not available; `kind` is the word for it in the message, which suggests a similar
    name. `aliases` are further names to suggest from: alias -> name.
    """
    unique = list(dict.fromkeys(names))
    for name in unique:
        if name not in available:
            suggestion = suggest_name(name, available, aliases)
            listing = f" Available: {', '.join(available)}" if suggestion else f"; available: {', '.join(available)}"
            raise UsageError(f"unknown {kind} {name!r}{suggestion}{listing}")
    return unique


def names_all(modes: Sequence[str]) -> bool:
    """Return whether the names of modes stand for all modes."""
    return not {ALL_MODES, BEST_MODE}.isdisjoint(modes)


def select_modes(backend: Backend, names: Sequence[str]) -> list[str]:
    """Return the named modes that the backend has; all of them for `all` and `best`, its default mode for none."""
    modes = list(backend.manifest.modes)
    if names_all(names):
        return modes
    return [mode for mode in modes if mode in names] if names else modes[:1]


def find_refusal(backend: Backend, mode: str, device_kind: str, task: Task) -> str | None:
    """Return why a mode of a backend can't run a task on a kind of device, as its manifest has it; None if it can."""
    layers = {type(layer).__name__ for _, layer, _ in task.walk_leaves()}
    for entry in backend.manifest.unsupported:
        if (entry.mode, entry.device) == (mode, device_kind) and (entry.layer is None or entry.layer in layers):
            return entry.reason
    return None


def select_backends(names: Sequence[str]) -> dict[str, Backend]:
    """Return the named backends, or all that have builds, by name."""
    backends = discover_backends()
    with_builds = [name for name, backend in backends.items() if backend.has_builds]
    titles = {backend.manifest.title: name for name, backend in backends.items()}
    return {name: backends[name] for name in select_names("backend", names or with_builds, list(backends), titles)}


def select_tasks(options: RunOptions) -> dict[str, Task]:
    """Return the tasks of the options by name, each at every scale."""
    presets = discover_tasks()
    select_names("preset", [options.preset], PRESETS)
    if options.preset == "original" and options.scale not in ([], [1]):
        raise UsageError(
            "--scale does not apply to the preset original, whose sizes are fixed; use it with quick or standard"
        )
    selected = [name for task in options.task or CORE for name in (presets if task == ALL_TASKS else [task])]
    names = select_names("task", selected, [*presets, ALL_TASKS])
    without = [name for name in names if options.preset not in presets[name]]
    if without:
        raise UsageError(f"the task {without[0]} has no preset {options.preset}, only {', '.join(presets[without[0]])}")
    tasks = [widen(presets[name][options.preset], factor) for name in names for factor in options.scale or [1]]
    return {task.name: task for task in tasks}


def make_plan(options: RunOptions) -> Plan:
    """Return the plan for the options of `crossframe run`.

    Raises UsageError for an unknown name, MissingError for a GPU that does not exist.
    """
    tasks = select_tasks(options)
    backends = select_backends(options.backend)
    modes = dict.fromkeys(mode for backend in backends.values() for mode in backend.manifest.modes)
    select_names("mode of " + " or ".join(backends), options.mode, [*modes, ALL_MODES, BEST_MODE])
    precisions = select_names(
        "precision", options.precision or [Precision.FLOAT32], PRECISIONS, aliases=PRECISION_ALIASES
    )
    images = [name for name, source in SOURCES.items() if source.white is not None]
    select_names("data set", [options.data] if options.data else [], images)
    device = resolve_device(options.device)
    cells = [
        Cell(task.name, backend.name, mode, device, precision, batch_size)
        for task in tasks.values()
        for backend in backends.values()
        for mode in select_modes(backend, options.mode)
        if not names_all(options.mode) or not find_refusal(backend, mode, device.partition(":")[0], task)
        for precision in precisions
        for batch_size in options.batch_size or [task.batch_size]
    ]
    repeats = options.repeats or default_repeats(options)
    return Plan(tasks, backends, device, tuple(interleave(cells, repeats)), replace(options, repeats=repeats))


def default_repeats(options: RunOptions) -> int:
    """Return the number of repeats where none is given: enough for a ranking in the preset that gives one."""
    return ENOUGH_REPEATS if options.preset == "standard" and not options.time_budget_s else 1


def add_repeats(jobs: Sequence[PlannedJob], repeats: int) -> tuple[PlannedJob, ...]:
    """Return the jobs of a run and those of further repeats of its cells, up to `repeats` in all."""
    last = max((job.repeat for job in jobs), default=0)
    further = interleave(list(dict.fromkeys(job.cell for job in jobs)), repeats)
    return (*jobs, *(job for job in further if job.repeat > last))


def interleave(cells: Sequence[Cell], repeats: int) -> list[PlannedJob]:
    """Return the jobs of all repeats: all cells in the first repeat, then all cells in the second, and so on.

    The order differs between repeats, so that a drift of the machine affects all cells equally.
    """
    jobs = []
    for repeat in range(1, repeats + 1):
        order = list(cells)
        random.Random(repeat).shuffle(order)
        jobs += [PlannedJob(cell, repeat) for cell in order]
    return jobs


def task_for(plan: Plan, cell: Cell) -> Task:
    """Return the task of a cell, with the batch size of the cell."""
    return replace(plan.tasks[cell.task], batch_size=cell.batch_size)
