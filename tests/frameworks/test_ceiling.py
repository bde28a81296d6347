"""The ceilings that each framework measures on the CPU."""

import os
from pathlib import Path

import pytest

from crossframe.backends import discover
from crossframe.backends.contract import Precision
from crossframe.harness.launch.launch import launch
from crossframe.harness.machine.environments import make_environment
from crossframe.harness.worker.jobs import CeilingJob
from crossframe.harness.worker.states import State

BACKENDS = {name: backend for name, backend in discover().items() if backend.has_builds}


@pytest.mark.parametrize("name", BACKENDS)
def test_every_backend_has_a_ceiling(tmp_path: Path, name: str) -> None:
    backend = BACKENDS[name]
    job = CeilingJob(
        cpus=sorted(os.sched_getaffinity(0)),
        module=backend.module,
        packages=list(backend.manifest.packages),
        mode=backend.manifest.modes[0],
        device="cpu",
        precision=Precision.FLOAT32,
    )
    outcome = launch(make_environment(backend, "cpu").python, backend, job, tmp_path / "job", 120)
    assert outcome.state == State.OK, outcome.reason
    # An omitted copy, or a product that is not waited for, would be faster than any processor.
    assert outcome.measurements.flops_per_s is not None
    assert outcome.measurements.bytes_per_s is not None
    assert 1e8 < outcome.measurements.flops_per_s < 1e14
    assert 1e8 < outcome.measurements.bytes_per_s < 2e12
