"""Every layer in every framework: outputs, updates and running statistics are those of the reference model.

A framework refuses exactly those that `UNSUPPORTED` lists.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from crossframe.backends import discover
from crossframe.backends.contract import Precision
from crossframe.harness.launch.launch import Outcome, launch
from crossframe.harness.machine.environments import make_environment
from crossframe.harness.parity import checks
from crossframe.harness.parity.dialects import dialect_for, dialect_in
from crossframe.harness.parity.probe_process import read_traces
from crossframe.harness.parity.reference_traces import Arithmetic, compute_trace
from crossframe.harness.worker.jobs import ProbeJob
from crossframe.harness.worker.measurements import ProbeMeasurements
from crossframe.harness.worker.probes import Probe
from crossframe.harness.worker.states import State
from crossframe.tasks.spec import Arrays
from tests.support.layer_cases import CASES, draw_arrays, draw_batches, make_task

BACKENDS = {name: backend for name, backend in discover().items() if backend.has_builds}
BATCHES = 4
FEW = ("residual with projection",)  # in modes that compile for seconds
FLOAT32_INSIDE = {"activation LeakyReLU", "activation GELU"}  # MXNet's operators compute in float32
UNSUPPORTED: dict[tuple[str, str], set[str]] = {
    ("tensorflow", "float32"): {"convolution, dilated stride"},
    ("tensorflow", "float64"): {"convolution, dilated stride"},
    ("mxnet", "float64"): FLOAT32_INSIDE,
}
Variant = tuple[str, str, str]  # backend, mode, precision


def list_variants() -> Iterator[Variant]:
    for name, backend in BACKENDS.items():
        first, *others = backend.manifest.modes
        refused = {entry.mode for entry in backend.manifest.unsupported if entry.device == "cpu"}
        yield from ((name, first, precision) for precision in ("float64", "float32"))
        yield from ((name, mode, "float64") for mode in others if mode not in refused)


def make_probes(names: list[str], path: Path) -> list[Probe]:
    """Return a probe of each case, and write their batches and weights to `path`."""
    arrays: Arrays = {}
    for number, (x, y) in enumerate(draw_batches(BATCHES)):
        arrays |= {f"batch{number}/x": x, f"batch{number}/y": y}
    probes = []
    for name in names:
        task = make_task(name)
        arrays |= {f"{name}/{key}": value for key, value in draw_arrays(task).items()}
        batches = tuple(f"batch{number}" for number in range(BATCHES))
        probes.append(Probe(name, task, batches, (0, 1, BATCHES), outputs=True, start=name))
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return probes


def run(variant: Variant, names: list[str], folder: Path) -> tuple[Outcome[ProbeMeasurements], list[Probe]]:
    name, mode, precision = variant
    backend, inputs = BACKENDS[name], folder / "inputs.npz"
    probes = make_probes(names, inputs)
    job = ProbeJob(
        module=backend.module,
        packages=list(backend.manifest.packages),
        mode=mode,
        device="cpu",
        precision=Precision(precision),
        inputs=str(inputs),
        probes=probes,
        cpus=[0],
    )
    return launch(make_environment(backend, "cpu").python, backend, job, folder / "job", 900), probes


def find_failures(
    probe: Probe, dialect: dict[str, str | float], precision: str, left: Arrays, arrays: Arrays
) -> list[str]:
    """Return the checks that fail in what a backend left of a probe."""
    start = {name: arrays[f"{probe.start}/{name}"] for name in probe.task.arrays()}
    spoken = dialect_for(probe.task, dialect)
    exact = compute_trace(probe, start, arrays, spoken)
    low = compute_trace(probe, start, arrays, spoken, Arithmetic(precision))
    pairs = () if precision == "float64" else ((low, exact),)
    expected = checks.ExpectedTraces(probe, precision, exact, lambda: pairs, start, arrays)
    prefix = f"{probe.name}/"
    traces = {key.removeprefix(prefix): value for key, value in left.items() if key.startswith(prefix)}
    results = list(checks.compare_traces(traces, expected))
    assert len(results) >= 9, probe.name
    return [checks.describe_check(check) for check in results if not check.passed]


@pytest.mark.parametrize("variant", list(list_variants()), ids="-".join)
def test_layers_are_those_of_the_reference_model(variant: Variant, tmp_path: Path) -> None:
    name, mode, precision = variant
    names = list(CASES) if mode == BACKENDS[name].manifest.modes[0] else list(FEW)
    outcome, probes = run(variant, names, tmp_path)
    assert outcome.state == State.OK, outcome.reason
    results = outcome.measurements.probes
    refused = {case for case, result in results.items() if result.state == State.UNSUPPORTED}
    # On a CPU XLA has no fast convolution within a loop, so the mode `scan` refuses all of them.
    unsupported = set(names) if (name, mode) == ("jax", "scan") else UNSUPPORTED.get((name, precision), set())
    assert refused == unsupported & set(names), {case: results[case].reason for case in refused}
    left = read_traces(tmp_path / "job", 1 << 30)
    with np.load(tmp_path / "inputs.npz") as stored:
        arrays = {key: stored[key] for key in stored.files}
    dialect = dialect_in(outcome.measurements.dialect, precision)
    failures = {}
    for probe in probes:
        if probe.name in refused:
            continue
        assert results[probe.name].state == State.OK, f"{probe.name}: {results[probe.name].reason}"
        failures[probe.name] = find_failures(probe, dialect, precision, left, arrays)
    assert not any(failures.values()), {case: found for case, found in failures.items() if found}
