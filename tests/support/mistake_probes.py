"""Mistakes of the catalogue (`tests/third_party/mistakes`) on the parity probes: many in one process of a backend."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from crossframe.backends import Backend, discover
from crossframe.backends.contract import Precision
from crossframe.harness.launch.launch import launch
from crossframe.harness.machine.environments import make_environment
from crossframe.harness.parity import checks
from crossframe.harness.parity.dialects import dialect_in
from crossframe.harness.parity.reference_traces import ReferenceTraces
from crossframe.harness.worker.jobs import ProbeJob
from crossframe.harness.worker.measurements import ProbeMeasurements
from crossframe.harness.worker.probes import Probe, name_second_pass
from crossframe.harness.worker.states import State
from crossframe.tasks.spec import Arrays
from tests.conftest import THIRD_PARTY
from tests.support.planted_mistakes import BATCH_SIZE, make_reference, plant
from tests.support.small_tasks import small_task
from tests.third_party.mistakes.catalogue import MISTAKES
from tests.third_party.mistakes.frameworks import FRAMEWORKS

BACKENDS = {name: backend for name, backend in discover().items() if name in FRAMEWORKS}
USUAL_LOOKS = ("gradient", "first epoch")  # probes that see most mistakes
TIMEOUT_S = 900


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
    job = ProbeJob(
        module="mistakes.backend",
        packages=[],
        mode=entry.mode or backend.manifest.modes[0],
        device="cpu",
        precision=Precision(entry.precision),
        inputs=str(reference.probe_set.path),
        probes=probes,
        cpus=[cpu],
    )
    outcome = launch(make_environment(backend, "cpu").python, wrap_backend(framework), job, folder, TIMEOUT_S)
    if outcome.state != State.OK:
        raise RuntimeError(f"{framework} {task}: {outcome.state}: {outcome.reason}; see {folder}")
    with np.load(folder / "outputs.npz", allow_pickle=False) as stored:
        traces = {key: stored[key] for key in stored.files}
    return {
        mistake: judge_mistake(framework, mistake, list_of_probes, reference, outcome.measurements, traces)
        for mistake, list_of_probes in planted.items()
    }


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
        result = measurements.probes[planted.name]
        if result.state == State.UNSUPPORTED:
            return Finding(mistake, framework, task, "unsupported", result.reason)
        if result.state != State.OK:
            return Finding(mistake, framework, task, "probe", f"{probe.name}: {result.state}: {result.reason}")
        expected = reference.expect(probe, dialect, precision)
        try:
            results = list(checks.compare_traces(select_traces(traces, planted.name), expected))
            if probe.twice:
                first, second = (select_traces(traces, name) for name in (planted.name, name_second_pass(planted)))
                results.append(checks.check_repeats(first, second, expected, "cpu"))
        except (KeyError, ValueError) as error:  # arrays that are missing or have another shape
            return Finding(mistake, framework, task, "probe", f"{probe.name}: {type(error).__name__}: {error}")
        failure = checks.first_failure(results)
        if failure is not None:
            return Finding(mistake, framework, task, "probe", checks.describe_check(failure))
    return Finding(mistake, framework, task, "nothing", None)


def select_traces(traces: Arrays, name: str) -> Arrays:
    """Return the traces of one probe."""
    prefix = f"{name}/"
    return {key.removeprefix(prefix): value for key, value in traces.items() if key.startswith(prefix)}
