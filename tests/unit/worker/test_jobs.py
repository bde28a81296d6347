"""Jobs and measurements as JSON on both sides of the process boundary."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crossframe.backends.contract import Precision
from crossframe.harness.worker import jobs
from crossframe.harness.worker.__main__ import KINDS
from crossframe.harness.worker.lifecycle import write_measures
from crossframe.harness.worker.measurements import CeilingMeasurements
from crossframe.tasks import discover
from tests.support.planted_mistakes import list_probes

TASK = discover()["circle"]["quick"]
PROBES = list(list_probes(TASK).values())
BACKEND: dict[str, Any] = {
    "cpus": [0, 1],
    "module": "any",
    "packages": ["numpy"],
    "mode": "eager",
    "device": "cuda:0",
    "precision": Precision.TF32,
}
JOBS: list[jobs.WorkerJob[Any]] = [
    jobs.TrainJob(**BACKEND, task=TASK, inputs="inputs.npz", onnx_opset=20, profile_operators=True),
    jobs.ProbeJob(**BACKEND, inputs="inputs.npz", probes=PROBES),
    jobs.ResumeJob(**BACKEND, inputs="inputs.npz", probes=PROBES, checkpoints="checkpoints"),
    jobs.InferJob(**BACKEND, task=TASK, inputs="inputs.npz", onnx_opset=20, batch_sizes=[1, 8]),
    jobs.TimeStepsJob(**BACKEND, task=TASK, inputs="inputs.npz", ceiling=True),
    jobs.CeilingJob(**BACKEND),
    jobs.ExportOnnxJob(
        **BACKEND,
        task=TASK,
        outputs="outputs.npz",
        feeds="feeds.npz",
        timed=["x"],
        time_s=0.1,
        exports={"opset 17": (17, None), "dynamo": (20, "dynamo")},
    ),
    jobs.RunOnnxJob(
        cpus=[0],
        module="any",
        packages=[],
        model="model.onnx",
        feeds="feeds.npz",
        device="cpu",
        memory_bytes=2**30,
        fixed=True,
        timed={"8": ["8.0", "8.1"]},
        time_s=0.1,
    ),
]


def test_every_kind_of_job_is_tested_here() -> None:
    assert [type(job) for job in JOBS] == [job_type for job_type, _ in KINDS.values()]


def test_the_kind_of_a_job_is_the_argument_of_the_worker() -> None:
    assert {kind: (jobs.WORKER, kind) for kind in KINDS} == {kind: job.PROGRAM for kind, (job, _) in KINDS.items()}


@pytest.mark.parametrize("job", JOBS, ids=lambda job: type(job).__name__)
def test_a_job_survives_its_file(tmp_path: Path, job: jobs.WorkerJob[Any]) -> None:
    (tmp_path / "job.json").write_text(json.dumps(job.to_json()))
    assert type(job).read(tmp_path) == job
    assert type(job).read(tmp_path) != replace(job, cpus=[7])


def test_measures_are_plain_json(tmp_path: Path) -> None:
    write_measures(tmp_path, CeilingMeasurements(flops_per_s=1.0))
    stored = json.loads((tmp_path / "measures.json").read_text())
    assert stored == {"state": "ok", "reason": None, "flops_per_s": 1.0, "bytes_per_s": None}
    assert [path.name for path in tmp_path.iterdir()] == ["measures.json"]


def test_measures_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        write_measures(tmp_path, CeilingMeasurements(flops_per_s=float("nan")))
    assert not (tmp_path / "measures.json").exists()
