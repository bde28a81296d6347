"""Training jobs one after another in one process: `python -m mistakes.many_jobs FOLDER` does those that its job lists.

The framework is imported once. A mistake that concerns a whole process needs a worker of its own instead.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path

from crossframe.harness.worker.failures import state_for_error, summarize_error
from crossframe.harness.worker.jobs import TrainJob
from crossframe.harness.worker.lifecycle import write_measures
from crossframe.harness.worker.states import State
from crossframe.harness.worker.train import train_job


def main(folder: Path) -> None:
    """Do all jobs of `folder`, as a worker does one."""
    job = json.loads((folder / "job.json").read_text())
    os.sched_setaffinity(0, job["cpus"])
    for name in job["folders"]:
        do_one(Path(name))
    write_measures(folder, TrainJob.MEASUREMENTS())
    sys.stdout.flush()
    os._exit(0)


def do_one(folder: Path) -> None:
    """Do one training job in its folder."""
    print(f"== {folder.name}", flush=True)
    os.chdir(folder)
    measurements, state, reason = TrainJob.MEASUREMENTS(), State.OK, None
    try:
        train_job(TrainJob.read(folder), folder, measurements)
    except Exception as error:
        traceback.print_exc()
        state, reason = state_for_error(error), summarize_error(error)
    write_measures(folder, measurements, state, reason)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
