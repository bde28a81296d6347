"""Verification of cells: the probes run in each backend's own process, and their traces are checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock

from threadpoolctl import threadpool_limits

from crossframe.backends import Backend
from crossframe.backends.contract import Precision
from crossframe.harness.console import Progress
from crossframe.harness.files import below, write_atomically
from crossframe.harness.launch.child import ChildProcess
from crossframe.harness.launch.launch import Outcome
from crossframe.harness.launch.processes import end_all
from crossframe.harness.machine.cache import cache_folder, read_cached
from crossframe.harness.machine.environments import Environment
from crossframe.harness.parity import checks
from crossframe.harness.parity.dialects import dialect_in
from crossframe.harness.parity.hints import find_hint
from crossframe.harness.parity.optimizer_variants import is_optimizer_probe, name_optimizer
from crossframe.harness.parity.probe_process import read_traces, run_probe_job
from crossframe.harness.parity.probe_set import ProbeSet, count_parameters, write_probe_set
from crossframe.harness.parity.reference_traces import ReferenceTraces
from crossframe.harness.parity.result import ParityResult
from crossframe.harness.parity.verdict_key import has_other_code, make_key
from crossframe.harness.plan.inputs import inputs_path
from crossframe.harness.plan.plan import Plan, task_for
from crossframe.harness.records.codec import to_json
from crossframe.harness.records.model import Cell
from crossframe.harness.worker.failures import summarize_error
from crossframe.harness.worker.jobs import ProbeJob
from crossframe.harness.worker.measurements import ProbeMeasurements
from crossframe.harness.worker.probes import name_resumed, name_second_pass
from crossframe.harness.worker.states import State
from crossframe.tasks import discover as discover_tasks
from crossframe.tasks.spec import Arrays

_TRACES: dict[Path, ReferenceTraces] = {}  # of the child process, by the file of the probes
_LOCK = Lock()


@dataclass(frozen=True)
class Verifier:
    """Everything that the verification of the cells of a plan needs."""

    plan: Plan
    environments: Mapping[str, Environment]  # name of a backend -> environment
    probe_sets: Mapping[tuple[str, int], ProbeSet]  # (task, batch size) -> probes
    folder: Path  # of the jobs
    child: ChildProcess  # with the reference model, and all traces

    def probe_set_for(self, cell: Cell) -> ProbeSet:
        """Return the probes of a cell."""
        return self.probe_sets[cell.task, cell.batch_size]

    def verify(self, cell: Cell, cpus: list[int]) -> ParityResult:
        """Return the result of one cell, from the cache if it was verified before with the same code and pins."""
        backend, environment = self.plan.backends[cell.backend], self.environments[cell.backend]
        probe_set = self.probe_set_for(cell)
        job = ProbeJob(
            module=backend.module,
            packages=list(backend.manifest.packages),
            mode=cell.mode,
            device=cell.device,
            precision=Precision(cell.precision),
            inputs=str(probe_set.path),
            probes=probe_set.probes,
            cpus=cpus,
        )
        cached = cached_result_path(backend, environment, job)
        kept = read_result(cached)
        if kept is not None:
            return kept
        folder = below(self.folder.resolve(), f"parity-{cell.name}")
        outcome = run_probe_job(environment.python, backend, job, folder, self.plan.options.timeout_s)
        try:
            result = self.child.call(judge_cell, probe_set, cell, outcome, folder, len(cpus))
        except Exception as error:  # whatever the worker left, the next cell is verified
            reason = f"its traces can't be judged: {summarize_error(error)}".replace(f"{folder}/", "")
            result = ParityResult(State.FAILED, reason)
        if result.state == State.OK and not has_other_code(backend, outcome.measurements.outside_files):
            write_atomically(cached, to_json(result))
        return result


def write_probe_sets(
    plan: Plan, folder: Path, cells: Sequence[Cell], child: ChildProcess, seed: int = 0
) -> dict[tuple[str, int], ProbeSet]:
    """Return (task, batch size) -> probes, for all cells; the probes of the optimizers for one task only.

    That task is the smallest of all tasks; see `crossframe.harness.parity.probe_design.design_probes`.
    """
    tasks = [presets["standard"] for presets in discover_tasks().values()]
    smallest = min(tasks, key=count_parameters).name
    probe_sets: dict[tuple[str, int], ProbeSet] = {}
    for cell in cells:
        key = cell.task, cell.batch_size
        if key not in probe_sets:
            task, inputs = task_for(plan, cell), inputs_path(folder, cell, seed)
            probe_sets[key] = child.call(write_probe_set, task, inputs, folder / "jobs", cell.task == smallest, seed)
    return probe_sets


def verify_cells(verifier: Verifier, cells: Sequence[Cell]) -> Iterator[tuple[Cell, ParityResult]]:
    """Yield each cell with its result. Nothing is timed, so on a CPU as many cells run at once as there are processors.

    On a GPU they run one after another: two at once would share its memory, and where a framework chooses kernels by
    trial, each would disturb the trials of the other.
    """
    cpus = verifier.plan.options.cpus
    parallel = len(cpus) if all(cell.device == "cpu" for cell in cells) else 1
    # The longest first; otherwise the other processors would wait for it at the end.
    ordered = sorted(cells, key=lambda cell: verifier.probe_set_for(cell).cost, reverse=True)
    # Those with the probes of all optimizers come first: what fails there withholds other cells with that optimizer.
    ordered.sort(key=lambda cell: not verifier.probe_set_for(cell).every_optimizer)
    failures: dict[tuple[str, str, str, str], dict[str, tuple[str, str]]] = {}

    def verify_numbered(number: int, cell: Cell) -> tuple[Cell, ParityResult]:
        return cell, verifier.verify(cell, cpus[number % parallel :: parallel])

    pool = ThreadPoolExecutor(parallel)
    try:
        for cell, result in pool.map(verify_numbered, range(len(ordered)), ordered):
            group = failures.setdefault((cell.backend, cell.mode, cell.device, cell.precision), {})
            for name, failure in result.failed_optimizers.items():
                group.setdefault(name, (cell.task, failure))
            optimizer = type(verifier.probe_set_for(cell).task.optimizer).__name__
            yield cell, withhold(cell, result, optimizer, group)
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        end_all()
        verifier.child.close()
        raise
    finally:
        pool.shutdown()


def show_progress(verifier: Verifier, cells: Sequence[Cell]) -> Iterator[tuple[Cell, ParityResult]]:
    """Yield what `verify_cells` yields, and show the progress; what costs time are the trainings."""
    costs = {cell: 1.0 + verifier.probe_set_for(cell).cost[0] for cell in cells}
    with Progress("verifying", costs.values()) as progress:
        for cell, result in verify_cells(verifier, cells):
            reason = f": {result.reason}" if result.reason else ""
            name = f"{cell.task} {verifier.plan.titles[cell.backend]} {cell.mode} {cell.precision}"
            text = f"{name}: parity {result.state}{reason}"
            progress.end_item(costs[cell], text, notable=result.state != State.OK)
            yield cell, result


def cached_result_path(backend: Backend, environment: Environment, job: ProbeJob) -> Path:
    """Return the path of a result in the cache; see `crossframe.harness.parity.verdict_key`."""
    return cache_folder() / "parity" / f"{make_key(backend, environment, job)}.json"


def read_result(path: Path) -> ParityResult | None:
    """Return a kept result that says that all is well; None if there is none, or its file is damaged."""
    result = read_cached(path, ParityResult)
    if result is None:
        return None
    passed = bool(result.checks) and all(check.passed for check in result.checks)
    return result if result.state == State.OK and passed else None


def judge_cell(
    probe_set: ProbeSet, cell: Cell, outcome: Outcome[ProbeMeasurements], folder: Path, threads: int
) -> ParityResult:
    """Return the result of `judge_outcome`, in the child process.

    The reference model gets as few threads as a worker, or its threads would compete with the workers.
    """
    threadpool_limits(threads)
    with _LOCK:
        if probe_set.path not in _TRACES:
            _TRACES[probe_set.path] = ReferenceTraces(probe_set)
    return judge_outcome(_TRACES[probe_set.path], cell, outcome, folder)


def judge_outcome(
    reference: ReferenceTraces, cell: Cell, outcome: Outcome[ProbeMeasurements], folder: Path
) -> ParityResult:
    """Return the result of a cell from what its worker left in `folder`."""
    measurements = outcome.measurements
    result = ParityResult(outcome.state, outcome.reason, dialect=measurements.dialect, modes=measurements.modes)
    if outcome.state != State.OK:
        return result
    missing = find_missing_optimizers(reference.probe_set, measurements)
    for name, probe in measurements.probes.items():
        if probe.state != State.OK and name not in missing:
            return replace(result, state=probe.state, reason=f"{name}: {probe.reason}")
    result = replace(result, missing_optimizers=dict(missing.values()))
    if measurements.unfinished is None:
        return replace(result, state=State.FAILED, reason="the worker left no measurement of its barrier")
    traces = read_traces(folder, reference.probe_set.most_trace_bytes)
    results = list(check_cell(reference, cell, measurements, traces))
    if not results:
        return replace(result, state=State.FAILED, reason="nothing was compared")
    failed = find_failed_optimizers(reference, results)
    result = replace(result, checks=checks.select_worst(results), failed_optimizers=failed)
    failure = checks.first_failure(results)
    if failure is None:
        return result
    hint = find_hint(reference, failure, traces, dialect_in(measurements.dialect, cell.precision))
    return replace(result, state=State.FAILED, reason=checks.describe_check(failure), hint=hint)


def find_missing_optimizers(probe_set: ProbeSet, measurements: ProbeMeasurements) -> dict[str, tuple[str, str]]:
    """Return name of a probe -> (name of its optimizer, reason), for those that the backend refuses.

    Only optimizers that the task does not use: it can be verified without them.
    """
    task_optimizer = name_optimizer(probe_set.task.optimizer)
    missing = {}
    for probe in probe_set.probes:
        optimizer, result = name_optimizer(probe.task.optimizer), measurements.probes.get(probe.name)
        if result is None or result.state != State.UNSUPPORTED or not is_optimizer_probe(probe):
            continue
        if optimizer != task_optimizer:
            missing[probe.name] = optimizer, result.reason or ""
    return missing


def find_failed_optimizers(reference: ReferenceTraces, results: Sequence[checks.Check]) -> dict[str, str]:
    """Return name of an optimizer -> its first failure, for those that failed in a probe of the optimizers."""
    kinds = {
        probe.name: type(probe.task.optimizer).__name__
        for probe in reference.probe_set.probes
        if is_optimizer_probe(probe)
    }
    failed: dict[str, str] = {}
    for check in results:
        if not check.passed and check.probe in kinds:
            failed.setdefault(kinds[check.probe], checks.describe_check(check))
    return failed


def withhold(cell: Cell, result: ParityResult, optimizer: str, failures: Mapping[str, tuple[str, str]]) -> ParityResult:
    """Return the result of a cell whose optimizer failed in the probes of another cell: it fails too.

    `failures` maps the name of an optimizer to (task of the cell that failed, what failed).
    """
    if result.state != State.OK or optimizer not in failures or failures[optimizer][0] == cell.task:
        return result
    task, failure = failures[optimizer]
    reason = f"its optimizer {optimizer} failed in the probes of the optimizers (task {task}): {failure}"
    return replace(result, state=State.FAILED, reason=reason)


def check_cell(
    reference: ReferenceTraces, cell: Cell, measurements: ProbeMeasurements, traces: Arrays
) -> Iterator[checks.Check]:
    """Yield every check of every probe of a cell."""
    dialect = dialect_in(measurements.dialect, cell.precision)

    def select_traces(name: str) -> Arrays:
        prefix = f"{name}/"
        return {key.removeprefix(prefix): value for key, value in traces.items() if key.startswith(prefix)}

    missing = find_missing_optimizers(reference.probe_set, measurements)
    for probe in reference.probe_set.probes:
        if probe.name in missing:
            continue
        first = select_traces(probe.name)
        expected = reference.expect(probe, dialect, cell.precision)
        yield from checks.compare_traces(first, expected)
        if probe.saved_after is not None:
            resumed = select_traces(name_resumed(probe)), select_traces(name_resumed(probe, single=True))
            yield from checks.compare_resumed(*resumed, expected)
        if probe.twice:
            yield checks.check_repeats(first, select_traces(name_second_pass(probe)), expected, cell.device)
    if measurements.unfinished is not None:
        yield checks.check_barrier(measurements.unfinished)
