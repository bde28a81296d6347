"""The program of every worker: `python -m crossframe.harness.worker KIND FOLDER` does the job in `FOLDER/job.json`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from crossframe.harness.worker import jobs
from crossframe.harness.worker.ceiling import ceiling_job
from crossframe.harness.worker.export_onnx import export_onnx_job
from crossframe.harness.worker.infer import infer_job
from crossframe.harness.worker.lifecycle import run_job
from crossframe.harness.worker.probe import probe_job, resume_job
from crossframe.harness.worker.run_onnx import run_onnx_job
from crossframe.harness.worker.time_steps import time_steps_job
from crossframe.harness.worker.train import train_job

KINDS: dict[str, tuple[type[jobs.WorkerJob[Any]], Callable[..., None]]] = {
    "train": (jobs.TrainJob, train_job),
    "probe": (jobs.ProbeJob, probe_job),
    "resume": (jobs.ResumeJob, resume_job),
    "infer": (jobs.InferJob, infer_job),
    "time_steps": (jobs.TimeStepsJob, time_steps_job),
    "ceiling": (jobs.CeilingJob, ceiling_job),
    "export_onnx": (jobs.ExportOnnxJob, export_onnx_job),
    "run_onnx": (jobs.RunOnnxJob, run_onnx_job),
}


def main(kind: str, folder: Path) -> NoReturn:
    """Do the job in `folder` and end the process."""
    job_type, execute = KINDS[kind]
    run_job(job_type, execute, folder)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
