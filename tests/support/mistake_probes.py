"""Mistakes of the catalogue (`tests/third_party/mistakes`) on the parity probes: many in one process of a backend."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from crossframe.backends import Backend, discover
from crossframe.backends.contract import Precision
from crossframe.harness.launch.launch import launch
from crossframe.harness.machine.environments import make_environment
from crossframe.harness.parity import checks
from crossframe.harness.parity.dialects import dialect_in
from crossframe.harness.parity.probe_process import RESUMED, read_traces
from crossframe.harness.parity.reference_traces import ReferenceTraces
from crossframe.harness.worker.jobs import ProbeJob, ResumeJob
from crossframe.harness.worker.measurements import ProbeMeasurements
from crossframe.harness.worker.probe import CHECKPOINTS
from crossframe.harness.worker.probes import EPOCH, Probe, name_resumed, name_second_pass
from crossframe.harness.worker.states import State
from crossframe.tasks import discover as discover_tasks
from crossframe.tasks.spec import Arrays
from tests.conftest import THIRD_PARTY
from tests.support.planted_mistakes import BATCH_SIZE, make_reference, plant
from tests.support.small_tasks import small_task
from tests.third_party.mistakes.catalogue import MISTAKES
from tests.third_party.mistakes.frameworks import FRAMEWORKS
from tests.third_party.mistakes.wrappers import Entry

BACKENDS = {name: backend for name, backend in discover().items() if name in FRAMEWORKS}
USUAL_LOOKS = ("gradient", "first epoch")  # probes that see most mistakes
TIMEOUT_S = 900
MOST_BYTES = 1 << 32  # of the traces of many mistakes


@dataclass(frozen=True)
class Finding:
    """How a mistake in a backend was caught."""

    mistake: str
    framework: str
    task: str
    caught_by: str  # probe, job check, meter or nothing; unsupported
    reason: str | None


def wrap_backend(framework: str, modes: Sequence[str] = ()) -> Backend:
    """Return the backend that makes mistakes around a real one; `modes` are `<mode>+<mistake>`."""
    backend = BACKENDS[framework]
    own = {"MISTAKES_WRAP": f"crossframe.backends.{framework}", "MISTAKES_MODES": " ".join(modes)}
    manifest = replace(
        backend.manifest,
        env_vars={**backend.manifest.env_vars, **own},
        modes=tuple(modes) or backend.manifest.modes,
    )
    return Backend(framework, "mistakes.backend", THIRD_PARTY / "mistakes" / "backend", manifest)


@cache
def find_reference(task: str, folder: Path) -> ReferenceTraces:
    """Return the reference model's traces of the small version of a task; its inputs lie in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    return make_reference(replace(small_task(task), batch_size=BATCH_SIZE), folder / f"{task}.npz")


def select_probes(reference: ReferenceTraces, looks: Iterable[str], first: bool) -> list[Probe]:
    """Return the probes whose names contain one of `looks`, the usual ones if there are none; or all others."""
    probes = reference.probe_set.probes
    chosen = [probe for probe in probes if any(look in probe.name for look in looks)]
    chosen = chosen or [probe for probe in probes if any(look in probe.name for look in USUAL_LOOKS)]
    return chosen if first else [probe for probe in probes if probe not in chosen]


def run_on_probes(
    framework: str, task: str, mistakes: Sequence[str], folder: Path, cpu: int = 0, first: bool = True
) -> dict[str, Finding]:
    """Return the findings of mistakes on the probes of one task: on those that see them best, or on all others.

    All mistakes need the same precision and mode. Mistakes that no probe found have the finding `nothing`.
    """
    reference = find_reference(task, folder.parent / "references")
    entry = MISTAKES[mistakes[0]]
    planted = {mistake: select_probes(reference, MISTAKES[mistake].looks, first) for mistake in mistakes}
    probes = [plant(probe, mistake) for mistake, list_of_probes in planted.items() for probe in list_of_probes]
    backend = BACKENDS[framework]
    job = make_job(framework, entry, reference, probes, cpu)
    python, wrapper = make_environment(backend, "cpu").python, wrap_backend(framework)
    outcome = launch(python, wrapper, job, folder, TIMEOUT_S)
    if outcome.state != State.OK:
        raise RuntimeError(f"{framework} {task}: {outcome.state}: {outcome.reason}; see {folder}")
    results = dict(outcome.measurements.probes)
    if any(probe.saved_after is not None for probe in probes):
        # Not run_probe_job: a mistake that fails must not keep the others from being continued.
        resumed = launch(python, wrapper, continue_job(job, folder), folder / RESUMED, TIMEOUT_S)
        if resumed.state != State.OK:
            raise RuntimeError(f"{framework} {task}: continued: {resumed.state}: {resumed.reason}; see {folder}")
        results |= resumed.measurements.probes
    measurements, traces = replace(outcome.measurements, probes=results), read_traces(folder, MOST_BYTES)
    return {
        mistake: judge_mistake(framework, mistake, list_of_probes, reference, measurements, traces)
        for mistake, list_of_probes in planted.items()
    }


def make_job(framework: str, entry: Entry, reference: ReferenceTraces, probes: Sequence[Probe], cpu: int) -> ProbeJob:
    """Return the job of probes, in the mode and the precision of a mistake."""
    return ProbeJob(
        module="mistakes.backend",
        packages=[],
        mode=entry.mode or BACKENDS[framework].manifest.modes[0],
        device="cpu",
        precision=Precision(entry.precision),
        inputs=str(reference.probe_set.path),
        probes=list(probes),
        cpus=[cpu],
    )


def check_barrier(framework: str, task: str, mistake: str, folder: Path, cpu: int) -> Finding:
    """Return the finding of parity's check of the barrier: on the task in its own size, in a process of its own."""
    reference = make_reference(discover_tasks()[task]["standard"], folder.with_suffix(".npz"))
    epoch = next(probe for probe in reference.probe_set.probes if probe.name == EPOCH)
    mistaken = replace(epoch.task, name=f"{task}+{mistake}")  # the barrier is measured with the probe of this name
    probe = replace(epoch, task=mistaken, weights_after=(), outputs=False)
    job = make_job(framework, MISTAKES[mistake], reference, [probe], cpu)
    python = make_environment(BACKENDS[framework], "cpu").python
    outcome = launch(python, wrap_backend(framework), job, folder, TIMEOUT_S)
    if outcome.state != State.OK or outcome.measurements.unfinished is None:
        raise RuntimeError(f"{framework} {task}: {outcome.state}: {outcome.reason}; see {folder}")
    check = checks.check_barrier(outcome.measurements.unfinished)
    caught_by = "nothing" if check.passed else "probe"
    return Finding(mistake, framework, task, caught_by, None if check.passed else checks.describe_check(check))


def continue_job(job: ProbeJob, folder: Path) -> ResumeJob:
    """Return the job that continues the probes of another one, in `folder`, from their checkpoints."""
    return ResumeJob(
        module=job.module,
        packages=job.packages,
        mode=job.mode,
        device=job.device,
        precision=job.precision,
        inputs=job.inputs,
        probes=job.probes,
        checkpoints=str((folder / CHECKPOINTS).resolve()),
        cpus=job.cpus,
    )


def judge_mistake(
    framework: str,
    mistake: str,
    probes: Sequence[Probe],
    reference: ReferenceTraces,
    measurements: ProbeMeasurements,
    traces: Arrays,
) -> Finding:
    """Return the finding of one mistake from the traces of its probes."""
    precision = MISTAKES[mistake].precision
    dialect = dialect_in(measurements.dialect, precision)
    task = reference.probe_set.task.name
    for probe in probes:
        planted = plant(probe, mistake)
        names = [planted.name, *([name_resumed(planted)] if probe.saved_after is not None else [])]
        for result in (measurements.probes[name] for name in names):
            if result.state == State.UNSUPPORTED:
                return Finding(mistake, framework, task, "unsupported", result.reason)
            if result.state != State.OK:
                return Finding(mistake, framework, task, "probe", f"{probe.name}: {result.state}: {result.reason}")
        try:
            results = list(check_probe(planted, reference.expect(probe, dialect, precision), traces))
        except (KeyError, ValueError) as error:  # arrays that are missing or have another shape
            return Finding(mistake, framework, task, "probe", f"{probe.name}: {type(error).__name__}: {error}")
        failure = checks.first_failure(results)
        if failure is not None:
            return Finding(mistake, framework, task, "probe", checks.describe_check(failure))
    return Finding(mistake, framework, task, "nothing", None)


def check_probe(planted: Probe, expected: checks.ExpectedTraces, traces: Arrays) -> Iterator[checks.Check]:
    """Yield the checks of one probe, as `harness.parity.verify_cells.check_cell` makes them."""
    first = select_traces(traces, planted.name)
    yield from checks.compare_traces(first, expected)
    if planted.saved_after is not None:
        in_calls, singly = (select_traces(traces, name_resumed(planted, single)) for single in (False, True))
        yield from checks.compare_resumed(in_calls, singly, expected)
    if planted.twice:
        yield checks.check_repeats(first, select_traces(traces, name_second_pass(planted)), expected, "cpu")


def select_traces(traces: Arrays, name: str) -> Arrays:
    """Return the traces of one probe."""
    prefix = f"{name}/"
    return {key.removeprefix(prefix): value for key, value in traces.items() if key.startswith(prefix)}
