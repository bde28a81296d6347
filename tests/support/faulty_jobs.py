"""Jobs of the faulty backend that request a GPU. The backend trains on the CPU for any requested device."""

import os
import sys
from pathlib import Path
from typing import Any

from crossframe.backends import Backend, read_backend
from crossframe.backends.contract import Precision
from crossframe.harness.launch.launch import Outcome, launch
from crossframe.harness.parity.probe_set import write_probe_set
from crossframe.harness.plan.inputs import write_inputs
from crossframe.harness.worker.jobs import InferJob, M, ProbeJob, TimeStepsJob, TrainJob, WorkerJob
from crossframe.tasks import discover
from crossframe.tasks.spec import Task
from tests.conftest import THIRD_PARTY

CIRCLE: Task = discover()["circle"]["quick"]


def find_faulty() -> Backend:
    """Return the faulty backend."""
    return read_backend("faulty", "faulty", THIRD_PARTY / "faulty")


def gpu_settings(mode: str) -> dict[str, Any]:
    """Return the fields that the jobs of all kinds share."""
    return {
        "cpus": sorted(os.sched_getaffinity(0))[:1],
        "module": "faulty",
        "packages": ["numpy"],
        "mode": mode,
        "device": "cuda:0",
        "precision": Precision.FLOAT32,
    }


def make_inputs(folder: Path) -> str:
    """Write the inputs of the task `circle`; return their path."""
    path = folder / "inputs.npz"
    write_inputs(path, CIRCLE, None, None)
    return str(path)


def make_train_job(folder: Path, mode: str) -> TrainJob:
    """Return a training job in a mode of the faulty backend."""
    return TrainJob(
        **gpu_settings(mode), task=CIRCLE, inputs=make_inputs(folder), onnx_opset=20, profile_operators=False
    )


def make_infer_job(folder: Path, mode: str) -> InferJob:
    """Return an inference job in a mode of the faulty backend."""
    return InferJob(**gpu_settings(mode), task=CIRCLE, inputs=make_inputs(folder), onnx_opset=20, batch_sizes=[1])


def make_time_steps_job(folder: Path, mode: str) -> TimeStepsJob:
    """Return a job of training steps in a mode of the faulty backend."""
    return TimeStepsJob(**gpu_settings(mode), task=CIRCLE, inputs=make_inputs(folder), ceiling=False)


def make_probe_job(folder: Path, mode: str) -> ProbeJob:
    """Return a parity job in a mode of the faulty backend."""
    probe_set = write_probe_set(CIRCLE, Path(make_inputs(folder)), folder / "probes", every_optimizer=False)
    return ProbeJob(**gpu_settings(mode), inputs=str(probe_set.path), probes=probe_set.probes)


def launch_faulty(folder: Path, job: WorkerJob[M]) -> Outcome[M]:
    """Run a job of the faulty backend in this interpreter."""
    return launch(Path(sys.executable), find_faulty(), job, folder / "job", 60)
