"""The job of training steps alone."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from crossframe.backends.contract import Precision
from crossframe.backends.reference.model import Model as ReferenceModel
from crossframe.harness.plan.inputs import write_inputs
from crossframe.harness.selftest.known_costs import select_smallest_task
from crossframe.harness.worker import time_steps
from crossframe.harness.worker.jobs import TimeStepsJob
from crossframe.harness.worker.measurements import StepMeasurements
from crossframe.tasks.spec import initial_weights


def test_the_ceiling_of_a_gpu_is_measured_by_the_backend(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    task = select_smallest_task()
    model = ReferenceModel(task, initial_weights(task, 0), np.dtype("float32"), {})
    monkeypatch.setattr(model, "placement", lambda: "cuda:0")
    module: Any = ModuleType("gpu_backend")
    module.prepare = lambda *_: model
    monkeypatch.setitem(sys.modules, "gpu_backend", module)
    calls: list[tuple[Any, Any, str]] = []

    def measure_ceiling(backend: Any, checked: Any, device: str) -> tuple[float, float]:
        calls.append((backend, checked.model, device))
        return 5e13, 4e12

    monkeypatch.setattr(time_steps, "measure_ceiling", measure_ceiling)
    write_inputs(tmp_path / "inputs.npz", task, None, None)
    job = TimeStepsJob(
        cpus=[0],
        module="gpu_backend",
        packages=[],
        mode="eager",
        device="cuda:0",
        precision=Precision.FLOAT32,
        task=task,
        inputs=str(tmp_path / "inputs.npz"),
        ceiling=True,
    )
    measurements = StepMeasurements()
    time_steps.time_steps_job(job, tmp_path, measurements)
    assert calls == [(module, model, "cuda:0")]
    assert measurements.ceiling_flops == 5e13
    assert len(measurements.epochs) == len(measurements.processor_samples_s) == time_steps.CHUNKS
