"""Real backends with one mistake made on purpose (`tests/third_party/mistakes`), run on the parity probes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from crossframe.backends import Backend, discover
from crossframe.backends.contract import Dialect, Precision
from crossframe.harness.launch.launch import Outcome
from crossframe.harness.machine.environments import make_environment
from crossframe.harness.parity import checks
from crossframe.harness.parity.checks import Check
from crossframe.harness.parity.probe_design import design_probes
from crossframe.harness.parity.probe_process import read_traces, run_probe_job
from crossframe.harness.parity.probe_set import ProbeSet
from crossframe.harness.parity.reference_traces import ReferenceTraces
from crossframe.harness.worker.jobs import ProbeJob
from crossframe.harness.worker.measurements import ProbeMeasurements
from crossframe.harness.worker.probes import Probe, name_resumed
from crossframe.tasks.spec import Arrays, Task, initial_weights
from tests.conftest import THIRD_PARTY
from tests.support.small_tasks import draw_samples

BACKENDS = {name: backend for name, backend in discover().items() if backend.has_builds}
MOST_BYTES = 1 << 32  # of the traces of many mistakes
# All probes of one framework fit into the time of the tests; those of the others run with `-m campaign`.
PARAMETERS = [pytest.param(name, marks=[] if name == "torch" else [pytest.mark.campaign], id=name) for name in BACKENDS]
EPOCH_STEPS, BATCH_SIZE = 4, 16


@cache
def design(task: Task) -> tuple[list[Probe], Arrays]:
    """Return the probes of a task and their arrays; those of all optimizers for `circle`."""
    x, y = draw_samples(task, BATCH_SIZE * EPOCH_STEPS)
    order = np.arange(len(x)).reshape(1, EPOCH_STEPS, BATCH_SIZE)
    data = {"x_train": x.astype(np.float32), "y_train": y, "order": order}
    return design_probes(task, data, initial_weights(task, 0), every_optimizer=task.name == "circle", seed=0)


def list_probes(task: Task) -> dict[str, Probe]:
    """Return the probes of a task by name."""
    return {probe.name: probe for probe in design(task)[0]}


def make_reference(task: Task, path: Path) -> ReferenceTraces:
    """Write the batches and weights of the probes of a task to `path`; return the traces of the reference model."""
    probes, arrays = design(task)
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return ReferenceTraces(ProbeSet(task, probes, path, path, EPOCH_STEPS))


def plant(probe: Probe, mistake: str) -> Probe:
    """Return a probe on which the backend makes a mistake."""
    task = replace(probe.task, name=f"{probe.task.name}+{mistake}")
    return replace(probe, name=f"{mistake}/{probe.name}", task=task)


def run_probes(
    backend: Backend,
    precision: Precision,
    probes: Sequence[Probe],
    inputs: Path,
    folder: Path,
    device: str = "cpu",
    python: Path | None = None,
) -> Outcome[ProbeMeasurements]:
    """Run probes in one process of a backend that makes the planted mistakes.

    `python` is an interpreter to use, as it is, instead of the environment of the backend.
    """
    env_vars = {**backend.manifest.env_vars, "MISTAKES_WRAP": f"crossframe.backends.{backend.name}"}
    manifest = replace(backend.manifest, env_vars=env_vars)
    wrapper = Backend(backend.name, "mistakes.backend", THIRD_PARTY / "mistakes" / "backend", manifest)
    job = ProbeJob(
        module="mistakes.backend",
        packages=[],
        mode=backend.manifest.modes[0],
        device=device,
        precision=precision,
        inputs=str(inputs),
        probes=list(probes),
        cpus=[0],
    )
    return run_probe_job(python or make_environment(backend, "cpu").python, wrapper, job, folder, 600)


@dataclass
class ProbedTask:
    """The results of the probes of one task in one backend, without and with mistakes."""

    reference: ReferenceTraces
    precision: Precision
    measurements: ProbeMeasurements
    traces: Arrays  # `<probe>/<key>`

    def find_probe(self, name: str) -> Probe:
        """Return a probe by its name."""
        return next(probe for probe in self.reference.probe_set.probes if probe.name == name)

    def select_traces(self, name: str) -> Arrays:
        """Return the traces of one probe; the probe must have run."""
        result = self.measurements.probes[name.removesuffix(", again").removesuffix(" in single steps")]
        assert result.state == "ok", result.reason
        prefix = f"{name}/"
        return {key.removeprefix(prefix): value for key, value in self.traces.items() if key.startswith(prefix)}

    def check(self, name: str, mistake: str = "", dialect: Dialect | None = None) -> Iterator[Check]:
        """Yield the checks of one probe, as `crossframe parity` makes them."""
        probe = self.find_probe(name)
        traces = self.select_traces(plant(probe, mistake).name if mistake else name)
        declared = self.measurements.dialect if dialect is None else dialect
        expected = self.reference.expect(probe, declared, self.precision)
        yield from checks.compare_traces(traces, expected)
        if probe.saved_after is not None:
            planted = plant(probe, mistake) if mistake else probe
            in_calls, singly = (self.select_traces(name_resumed(planted, single)) for single in (False, True))
            yield from checks.compare_resumed(in_calls, singly, expected)


def probe_task(
    backend: Backend,
    task: Task,
    precision: Precision,
    mistakes: Iterable[tuple[str, str]],
    folder: Path,
    device: str = "cpu",
    python: Path | None = None,
) -> ProbedTask:
    """Run all probes of a task without mistakes, and each of `mistakes`, pairs (mistake, probe)."""
    folder.mkdir(parents=True, exist_ok=True)
    inputs, probes = folder / "inputs.npz", list_probes(task)
    reference = make_reference(task, inputs)
    planted = [plant(probes[probe], mistake) for mistake, probe in mistakes]
    outcome = run_probes(backend, precision, [*probes.values(), *planted], inputs, folder / "job", device, python)
    assert outcome.state == "ok", outcome.reason
    return ProbedTask(reference, precision, outcome.measurements, read_traces(folder / "job", MOST_BYTES))
